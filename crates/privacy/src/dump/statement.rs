//! What a statement of a dump says, as far as it matters here: tables, their columns, keys and partitions, and where rows begin. All
//! others are nobody's business. Tests: at the end.

use crate::dump::table::{Column, ColumnType, Foreign, Key, Table};
use crate::dump::token::{Cursor, Token, tokens};
use crate::name::TableName;

/// Most words of one statement; a table has at most 1600 columns.
const TOKENS_MAX: usize = 1_000_000;

/// A statement, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    CreateTable {
        name: TableName,
        table: Table,
    },
    AttachPartition {
        parent: TableName,
        child: TableName,
    },
    AddKey {
        table: TableName,
        key: Key,
    },
    AddForeign {
        table: TableName,
        foreign: Foreign,
    },
    /// Rows follow.
    Copy {
        table: TableName,
        columns: Vec<String>,
    },
    /// Something of a large object.
    LargeObject,
    /// Rows as statements.
    Insert,
    Other,
}

/// Reads one statement.
///
/// # Errors
/// What could not be understood in one that has to be.
pub(crate) fn read(statement: &[u8]) -> Result<Statement, &'static str> {
    let head = tokens(statement, 8);
    let Some(Token::Word(first)) = head.first() else { return Ok(Statement::Other) };
    match first.as_str() {
        "insert" => Ok(Statement::Insert),
        "copy" => copy(&tokens(statement, TOKENS_MAX)),
        "create" => create(&tokens(statement, TOKENS_MAX)),
        "alter" => alter(&tokens(statement, TOKENS_MAX)),
        "select" if is_large_object(&head[1..]) => Ok(Statement::LargeObject),
        "grant" | "revoke" | "comment" | "security" if names_large_object(statement) => {
            Ok(Statement::LargeObject)
        }
        _ => Ok(Statement::Other),
    }
}

/// `SELECT pg_catalog.lo_open(...)` and its like.
fn is_large_object(tokens: &[Token]) -> bool {
    let mut cursor = Cursor::new(tokens);
    let _ = cursor.words(&["pg_catalog"]) && cursor.symbol(b'.');
    let names = ["lo_create", "lo_creat", "lo_open", "lowrite", "lo_close", "lo_unlink", "lo_from_bytea"];
    names.iter().any(|name| cursor.words(&[*name]))
}

fn names_large_object(statement: &[u8]) -> bool {
    let found = tokens(statement, 64);
    let word = |token: &Token, word: &str| matches!(token, Token::Word(found) if found == word);
    found
        .windows(3)
        .any(|three| word(&three[0], "on") && word(&three[1], "large") && word(&three[2], "object"))
}

fn copy(found: &[Token]) -> Result<Statement, &'static str> {
    let mut cursor = Cursor::new(found);
    let _ = cursor.words(&["copy"]);
    let table = cursor.table().ok_or("COPY names no table with its schema")?;
    let columns = match cursor.peek() {
        Some(Token::Symbol(b'(')) => cursor.names().ok_or("the columns of COPY cannot be read")?,
        _ => Vec::new(),
    };
    if !cursor.words(&["from", "stdin"]) || !cursor.symbol(b';') || !cursor.rest().is_empty() {
        return Err("COPY is not of the form `COPY table (columns) FROM stdin;`, the only one that is read");
    }
    Ok(Statement::Copy { table, columns })
}

fn create(found: &[Token]) -> Result<Statement, &'static str> {
    let mut cursor = Cursor::new(found);
    let _ = cursor.words(&["create"]);
    if cursor.words(&["unique", "index"]) {
        return unique_index(cursor);
    }
    let _ = cursor.words(&["unlogged"]);
    if !cursor.words(&["table"]) {
        return Ok(Statement::Other);
    }
    let _ = cursor.words(&["if", "not", "exists"]);
    let name = cursor.table().ok_or("CREATE TABLE names no table with its schema")?;
    let mut table = Table::default();
    if cursor.words(&["partition", "of"]) {
        table.parent = Some(cursor.table().ok_or("PARTITION OF names no table with its schema")?);
        return Ok(Statement::CreateTable { name, table });
    }
    if cursor.words(&["of"]) {
        // Its columns are those of a type; COPY names them.
        return Ok(Statement::CreateTable { name, table });
    }
    for part in cursor.list().ok_or("the columns of CREATE TABLE cannot be read")? {
        match part {
            [Token::Word(word), ..] if is_constraint(word) => {
                if let Some(key) = read_key(&mut Cursor::new(part)) {
                    table.keys.push(key);
                }
            }
            _ => table.columns.push(column(part).ok_or("a column of CREATE TABLE cannot be read")?),
        }
    }
    if cursor.words(&["inherits"]) && cursor.symbol(b'(') {
        table.parent = cursor.table();
    }
    Ok(Statement::CreateTable { name, table })
}

/// Words that begin a constraint of a table. All are reserved, so that a column of that name stands in quotes.
fn is_constraint(word: &str) -> bool {
    matches!(word, "constraint" | "primary" | "unique" | "check" | "foreign" | "exclude" | "like")
}

fn column(tokens: &[Token]) -> Option<Column> {
    let mut cursor = Cursor::new(tokens);
    let name = cursor.name()?;
    let rest = cursor.rest();
    let ends_type = |token: &Token| match token {
        Token::Word(word) => matches!(
            word.as_str(),
            "default"
                | "not"
                | "null"
                | "generated"
                | "constraint"
                | "collate"
                | "check"
                | "references"
                | "primary"
                | "unique"
                | "compression"
                | "storage"
                | "options"
        ),
        _ => false,
    };
    let end = rest.iter().position(ends_type).unwrap_or(rest.len());
    let (kind, constraints) = rest.split_at(end);
    let follows =
        |words: &[&str]| (0..constraints.len()).any(|start| Cursor::new(&constraints[start..]).words(words));
    let is_not_null = follows(&["not", "null"]) || follows(&["primary", "key"]);
    // An identity has no expression.
    let is_generated = follows(&["generated", "always", "as"]) && !follows(&["as", "identity"]);
    Some(Column { name, kind: ColumnType::read(kind), is_not_null, is_generated })
}

/// `[CONSTRAINT name] PRIMARY KEY (a, b)` or `UNIQUE`.
fn read_key(cursor: &mut Cursor<'_>) -> Option<Key> {
    if cursor.words(&["constraint"]) {
        cursor.name()?;
    }
    let is_primary = cursor.words(&["primary", "key"]);
    if !is_primary {
        if !cursor.words(&["unique"]) {
            return None;
        }
        let _ = cursor.words(&["nulls", "not", "distinct"]);
    }
    Some(Key { columns: cursor.names()?, is_primary })
}

/// `name ON [ONLY] table [USING method] (...)`: every name in it counts, so that an expression counts for its columns.
fn unique_index(mut cursor: Cursor<'_>) -> Result<Statement, &'static str> {
    let _ = cursor.name();
    if !cursor.words(&["on"]) {
        return Ok(Statement::Other);
    }
    let _ = cursor.words(&["only"]);
    let table = cursor.table().ok_or("CREATE UNIQUE INDEX names no table with its schema")?;
    if cursor.words(&["using"]) {
        let _ = cursor.name();
    }
    let parts = cursor.list().ok_or("the columns of CREATE UNIQUE INDEX cannot be read")?;
    let names = parts.into_iter().flatten().filter_map(|token| match token {
        Token::Word(name) | Token::Name(name) => Some(name.clone()),
        _ => None,
    });
    Ok(Statement::AddKey { table, key: Key { columns: names.collect(), is_primary: false } })
}

fn alter(found: &[Token]) -> Result<Statement, &'static str> {
    let mut cursor = Cursor::new(found);
    let _ = cursor.words(&["alter"]);
    if cursor.words(&["large", "object"]) {
        return Ok(Statement::LargeObject);
    }
    if !cursor.words(&["table"]) {
        return Ok(Statement::Other);
    }
    let _ = cursor.words(&["if", "exists"]);
    let _ = cursor.words(&["only"]);
    let table = cursor.table().ok_or("ALTER TABLE names no table with its schema")?;
    if cursor.words(&["attach", "partition"]) {
        let child = cursor.table().ok_or("ATTACH PARTITION names no table with its schema")?;
        return Ok(Statement::AttachPartition { parent: table, child });
    }
    if !cursor.words(&["add"]) {
        return Ok(Statement::Other);
    }
    let rest = cursor.rest();
    if let Some(key) = read_key(&mut Cursor::new(rest)) {
        return Ok(Statement::AddKey { table, key });
    }
    if cursor.words(&["constraint"]) {
        let _ = cursor.name();
    }
    if !cursor.words(&["foreign", "key"]) {
        return Ok(Statement::Other);
    }
    let unread = "FOREIGN KEY cannot be read";
    let columns = cursor.names().ok_or(unread)?;
    if !cursor.words(&["references"]) {
        return Err(unread);
    }
    let target = cursor.table().ok_or(unread)?;
    let target_columns = match cursor.peek() {
        Some(Token::Symbol(b'(')) => cursor.names().ok_or(unread)?,
        _ => Vec::new(),
    };
    Ok(Statement::AddForeign { table, foreign: Foreign { columns, target, target_columns } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> TableName {
        text.parse().unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rows_begin_with_copy() {
        let text = b"--\n-- Data\n--\n\nCOPY public.\"User\" (id, \"e\"\"mail\", \"order\") FROM stdin;";
        let expected =
            Statement::Copy { table: table("public.User"), columns: names(&["id", "e\"mail", "order"]) };
        assert_eq!(read(text), Ok(expected));
        let empty = Statement::Copy { table: table("public.t"), columns: Vec::new() };
        assert_eq!(read(b"COPY public.t  FROM stdin;"), Ok(empty));
        for wrong in [
            "COPY t (a) FROM stdin;",
            "COPY public.t (a) FROM '/etc/passwd';",
            "COPY public.t (a) FROM stdin WITH (FORMAT csv);",
            "COPY public.t (a) TO stdout;",
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tables_have_columns_with_types() {
        let text = "CREATE TABLE public.users (
            id bigint NOT NULL,
            email character varying(255) DEFAULT 'a,b'::character varying,
            code character(5),
            born date,
            seen timestamp(3) with time zone DEFAULT now() NOT NULL,
            tags text[] DEFAULT '{}'::text[],
            kind public.citext COLLATE pg_catalog.\"C\",
            mood public.mood,
            full_name text GENERATED ALWAYS AS (((first || ' '::text) || last)) STORED,
            price numeric(10,2),
            profile jsonb,
            \"check\" boolean,
            CONSTRAINT positive CHECK ((price > (0)::numeric))
        )
        PARTITION BY RANGE (seen);";
        let Ok(Statement::CreateTable { name, table: found }) = read(text.as_bytes()) else {
            panic!("is a table");
        };
        assert_eq!(name, table("public.users"));
        let shown: Vec<String> = found
            .columns
            .iter()
            .map(|column| {
                let limit = column.kind.limit().map(|limit| limit.to_string()).unwrap_or_default();
                let null = if column.is_not_null { " not null" } else { "" };
                let generated = if column.is_generated { " generated" } else { "" };
                format!("{}: {} {limit}{null}{generated}", column.name, column.kind.as_str())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "id: a whole number  not null",
                "email: text 255",
                "code: text 5",
                "born: a date ",
                "seen: a date  not null",
                "tags: an array ",
                "kind: text ",
                "mood: a type of its own ",
                "full_name: text  generated",
                "price: a number ",
                "profile: JSON ",
                "check: true or false ",
            ]
        );
    }

    #[test]
    fn keys_partitions_and_references_are_read() {
        let key = |columns: &[&str], is_primary| Statement::AddKey {
            table: table("public.t"),
            key: Key { columns: names(columns), is_primary },
        };
        let rows = [
            ("ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);", key(&["id"], true)),
            ("ALTER TABLE ONLY public.t ADD CONSTRAINT u UNIQUE (a, b);", key(&["a", "b"], false)),
            (
                "CREATE UNIQUE INDEX i ON public.t USING btree (lower(email));",
                key(&["lower", "email"], false),
            ),
            (
                "ALTER TABLE ONLY public.t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES public.u(id) ON DELETE CASCADE;",
                Statement::AddForeign {
                    table: table("public.t"),
                    foreign: Foreign {
                        columns: names(&["a"]),
                        target: table("public.u"),
                        target_columns: names(&["id"]),
                    },
                },
            ),
            (
                "ALTER TABLE ONLY public.t ATTACH PARTITION public.t1 FOR VALUES FROM (1) TO (2);",
                Statement::AttachPartition { parent: table("public.t"), child: table("public.t1") },
            ),
            ("ALTER TABLE public.t OWNER TO havre;", Statement::Other),
            ("CREATE INDEX i ON public.t USING btree (a);", Statement::Other),
            ("CREATE VIEW public.v AS SELECT 'COPY public.t (a) FROM stdin;';", Statement::Other),
            ("INSERT INTO public.t VALUES (1);", Statement::Insert),
            ("SELECT pg_catalog.lo_create('16400');", Statement::LargeObject),
            ("SELECT pg_catalog.setval('public.s', 1, true);", Statement::Other),
            ("ALTER LARGE OBJECT 16400 OWNER TO havre;", Statement::LargeObject),
            ("GRANT SELECT ON LARGE OBJECT 16400 TO havre;", Statement::LargeObject),
            ("", Statement::Other),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text.as_bytes()), Ok(expected), "{text}");
        }
    }
}
