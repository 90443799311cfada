"""What a person or a machine calls from a checkout: test, demo, lock, and the checks behind them."""
