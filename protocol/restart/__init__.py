"""Restart: going on when more than a third of the voting power is lost for good (decision 0014, SPECIFICATION.md).

Pure, as all of `protocol`: from what the survivors' disks hold to reports (`reporting`, `opening`), from reports to the
last block that is kept (`weighing`), from there and the members' decision to a document, its approvals and the new
network's genesis (`document`), and to the state that the new network begins with (`beginning`); `blocks` judges what
members give each other, `explain` says it all to strangers. Records in `records`. May import every room of `protocol`
but `sim`.
"""
