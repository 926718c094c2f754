"""Lock files of other tools: what each of them pins, for which machine, and what it was made of."""
