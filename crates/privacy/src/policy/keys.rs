//! Every key of `privacy.toml`, by table, and every mask: the one list that reader, suggestions and documentation agree on.
//! Tests: `tests/it/policy.rs` compares it with `docs/privacy-toml.md`.

use havre_manifest::schema::Keys;

/// The file itself.
pub const ROOT: Keys = Keys {
    table: "",
    known: &["tables", "person"],
    later: &[],
    meant: &[("table", "tables"), ("people", "person"), ("subject", "person")],
};

/// `[tables."<schema>.<table>"]`.
pub const TABLE: Keys = Keys {
    table: "tables.<table>",
    known: &["columns", "rows"],
    later: &[],
    meant: &[("column", "columns"), ("masks", "columns"), ("row", "rows"), ("subset", "rows")],
};

/// `rows = { ... }` of a table.
pub const ROWS: Keys = Keys {
    table: "tables.<table>.rows",
    known: &["first", "hash_percent"],
    later: &[],
    meant: &[("limit", "first"), ("head", "first"), ("percent", "hash_percent"), ("sample", "hash_percent")],
};

/// A mask that is written as a table.
pub const MASK: Keys = Keys {
    table: "tables.<table>.columns.<column>",
    known: &["constant", "dates_shifted", "json", "partial"],
    later: &[],
    meant: &[("value", "constant"), ("shift", "dates_shifted"), ("date", "dates_shifted"), ("jsonb", "json")],
};

/// `dates_shifted = { ... }`.
pub const SHIFT: Keys = Keys {
    table: "tables.<table>.columns.<column>.dates_shifted",
    known: &["within", "by"],
    later: &[],
    meant: &[("range", "within"), ("days", "within"), ("key", "by")],
};

/// `partial = { ... }`.
pub const PARTIAL: Keys = Keys {
    table: "tables.<table>.columns.<column>.partial",
    known: &["keep_first", "keep_last"],
    later: &[],
    meant: &[("first", "keep_first"), ("last", "keep_last")],
};

/// `[person]`.
pub const PERSON: Keys = Keys {
    table: "person",
    known: &["key", "tables"],
    later: &[],
    meant: &[("by", "key"), ("id", "key"), ("table", "tables")],
};

/// `[person.tables."<schema>.<table>"]`.
pub const PERSON_TABLE: Keys = Keys {
    table: "person.tables.<table>",
    known: &["by", "through", "export", "erase"],
    later: &[],
    meant: &[("column", "by"), ("via", "through"), ("columns", "export"), ("delete", "erase")],
};

/// `through = { ... }`.
pub const THROUGH: Keys = Keys {
    table: "person.tables.<table>.through",
    known: &["table", "column"],
    later: &[],
    meant: &[("of", "table"), ("by", "column")],
};

/// Every table.
pub const TABLES: [&Keys; 9] =
    [&ROOT, &TABLE, &ROWS, &MASK, &SHIFT, &PARTIAL, &PERSON, &PERSON_TABLE, &THROUGH];

/// Masks that are written as one word.
pub const MASKS: [&str; 10] =
    ["keep", "null", "email", "name", "first_name", "last_name", "phone", "hash", "digits", "ip"];

/// What people write who come from elsewhere, and what it is called here.
pub(crate) const MASKS_MEANT: [(&str, &str); 12] = [
    ("none", "keep"),
    ("clear", "null"),
    ("delete", "null"),
    ("mail", "email"),
    ("full_name", "name"),
    ("surname", "last_name"),
    ("firstname", "first_name"),
    ("lastname", "last_name"),
    ("tel", "phone"),
    ("sha256", "hash"),
    ("number", "digits"),
    ("inet", "ip"),
];
