"""A suite for each grammar of the library, a file each; its recipe names it."""
