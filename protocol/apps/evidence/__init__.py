"""Evidence: that a document existed, in these bytes, and what its owner says of it now.

`records` holds the formats, `application` the rules, `salted` the scheme by which single fields are disclosed,
`reading` how whoever holds a document finds its records. May import: ledger and below, `apps.common`.
"""
