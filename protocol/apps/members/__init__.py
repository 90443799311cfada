"""The application `members`: the consortium governs itself (C-21 to C-23).

Reading order: `records`, `changes` (what a change does), `application` (who may do what, when), `words`.
May import: ledger and below. Public names: `MEMBERS_APP` (`application`), the records, `approvals_needed`.
"""
