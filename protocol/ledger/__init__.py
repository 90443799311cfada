"""The ledger: what is recorded, by whom, and with which outcome; rules L-1 to L-23 (SPECIFICATION.md here).

Pure functions from bytes and tables to judgements and writes; who agreed on a block, and where tables lie, is
unknown here. May import: errors, limits, codec, crypto. Reading order and public names:

    records, genesis        what is signed, hashed and stored; what a network begins with
    succession              the same of a network that goes on from another
    envelope, batch         making them, and judging their form and signatures without state
    tables, memory, index   where derived facts stand, a dictionary store, their keys and values
    spaces, state           the state's keys, and its layers during execution
    accounts, members       who may act; who pays for state
    application             the interface to `protocol.apps`; `Rules`, by height
    execution, genesis_state, undo   blocks to receipts and roots; height 0; the state of recent heights
    admission               what a node says before and after
    blocks                  headers: building and judging
    describe                all of it for machines, as JSON
"""
