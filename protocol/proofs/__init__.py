"""Proofs: files that a stranger verifies offline, with the network's genesis alone (L-21).

The one room that knows both the ledger and consensus below the node: what was recorded, that a quorum made it
final, and who broke the rules of voting. May import: errors, limits, codec, crypto, ledger, consensus, apps. Public
names: the records (`protocol.proofs.records`), `verify_receipt_proof` and `verify_state_proof`
(`protocol.proofs.verify`), `receipt_proof` and `state_proof`, which make them (`protocol.proofs.build`), `explain`
(`protocol.proofs.explain`); of equivocation the record, what makes, verifies and explains it
(`protocol.proofs.equivocation`).
"""
