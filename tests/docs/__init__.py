"""The documents, run and compared: what they tell a reader to do works, and what they name exists.

A fenced block is run when its first line says so:

    ```sh run                            in a shell, in a new directory that all blocks of one document share
    ```python run                        as a program there
    ```sh run background until="WORDS"   in a terminal of its own, until the document ends; goes on once it says WORDS
    ```text output                       what the blocks above said, since the last such block: each line here is found
                                         in it, in this order; … stands for anything

`papilio` and `python` are this checkout's. Ports in documents (127.0.0.1:8100, --port 8100) are replaced by free ones,
the same for the same, also where a command's default is meant. Other blocks are not run: they need another machine,
root, or minutes.
"""
