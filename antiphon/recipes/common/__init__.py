"""Code that several recipes share: tables of settings, the user's own data, and images."""
