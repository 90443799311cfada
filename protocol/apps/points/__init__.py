"""Points: programmes, methodologies, activities, and the points that are issued against them.

Reading order: `records` (formats), `amounts` (arithmetic), `programmes`, `activities`, `holdings` (rules P-1 to P-12),
`application` (put together), `audit` (sums recomputed from the stored state), `words`.
May import: ledger and below, `apps.common`, `apps.evidence`.
"""
