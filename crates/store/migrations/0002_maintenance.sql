-- Services whose users get a page instead of them. A row is desired state, changed without a deployment.

CREATE TABLE maintenance (
    service INTEGER PRIMARY KEY REFERENCES services (id) ON DELETE CASCADE,
    since   INTEGER NOT NULL,
    bypass  TEXT NOT NULL CHECK (length(bypass) = 64)
) STRICT;
