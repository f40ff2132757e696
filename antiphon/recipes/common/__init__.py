"""What several recipes need: the tables of every experiment, data of one's own, images."""
