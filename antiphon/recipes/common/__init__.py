"""Code that several recipes share: tables of experiments, the user's own data, images."""
