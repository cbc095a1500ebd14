-- Private networks of tests that have databases, while these run: whose addresses are taken, and what is to be removed after a crash.
-- A build that is removed leaves its network behind until that is gone, so there is no foreign key.
CREATE TABLE test_networks (
    build  INTEGER PRIMARY KEY,
    subnet TEXT NOT NULL UNIQUE
) STRICT;
