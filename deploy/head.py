def check_head() -> None:
    pass
