"""One file with a suite for each grammar of the library; the grammar's recipe names the suite."""
