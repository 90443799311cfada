"""Wire: the messages between nodes, as records (kinds 40 to 59), and one function that reads any of them.

Votes, certificates and batches travel as the records they are; the rest stands in `messages`. May import
codec, consensus (statements), ledger (records). Public names: those of `messages`.
"""
