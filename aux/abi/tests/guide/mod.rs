// SPDX-License-Identifier: GPL-2.0

//! Reads the programming guide in `Documentation/hw`, and the names that the source defines.

use std::collections::BTreeSet;
use std::path::{
    Path,
    PathBuf, //
};

/// Headings of the tables that the tests read. An empty heading is the name of what the table is
/// about.
pub const KINDS: &[&[&str]] = &[
    &["Offset", "Register", "Access", "Reset", "Meaning"],
    &["Bits", "", "Meaning"],
    &[
        "Opcode",
        "Name",
        "Command",
        "Parameters",
        "Result",
        "Data",
        "Sender",
    ],
    &["Offset", "Size", "", "Meaning"],
    &["Value", "", "Meaning"],
    &["Bit", "", "Meaning"],
    &["Event", "Value", "Payload", "Meaning"],
    &["Constant", "Value", "Meaning"],
    &["Version", "Change"],
];

/// A table of the guide, without its backticks.
pub struct Table {
    pub file: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// Whether each heading was in backticks, hence is a name.
    named: Vec<bool>,
}

impl Table {
    /// Returns whether the table is of this kind.
    pub fn is(&self, kind: &[&str]) -> bool {
        self.head.len() == kind.len()
            && kind
                .iter()
                .zip(&self.head)
                .zip(&self.named)
                .all(|((wanted, found), named)| {
                    if wanted.is_empty() {
                        *named
                    } else {
                        wanted == found
                    }
                })
    }
}

/// What the guide says.
pub struct Guide {
    pub tables: Vec<Table>,
    /// Names of the contract that stand in backticks anywhere, with the file they stand in: what
    /// begins with a capital letter, with a field after a dot or without.
    pub names: BTreeSet<(String, String)>,
}

impl Guide {
    /// Reads all pages.
    pub fn read() -> Self {
        let mut guide = Self {
            tables: Vec::new(),
            names: BTreeSet::new(),
        };
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Documentation/hw");
        for path in files(&directory, "md") {
            let file = path
                .file_name()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            guide.read_page(&file, &read(&path));
        }
        assert!(
            !guide.tables.is_empty(),
            "no guide in {}",
            directory.display()
        );
        guide
    }

    fn read_page(&mut self, file: &str, text: &str) {
        for span in text.split('`').skip(1).step_by(2) {
            let name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let (owner, field) = span.split_once('.').unwrap_or((span, ""));
            if owner.starts_with(|c: char| c.is_ascii_uppercase()) && name(owner) && name(field) {
                self.names.insert((file.to_owned(), span.to_owned()));
            }
        }
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if !line.starts_with('|') {
                continue;
            }
            let separator = lines.next().unwrap_or_default();
            assert!(
                separator.starts_with("|---"),
                "{file}: a table begins with a line of headings and a line of dashes: {line}"
            );
            let head = cells(line);
            let mut rows = Vec::new();
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                let row = cells(row);
                assert_eq!(row.len(), head.len(), "{file}: cells of the row {row:?}");
                rows.push(row.into_iter().map(plain).collect());
            }
            self.tables.push(Table {
                file: file.to_owned(),
                named: head.iter().map(|cell| cell.starts_with('`')).collect(),
                head: head.into_iter().map(plain).collect(),
                rows,
            });
        }
    }

    /// Returns the tables of one kind.
    pub fn tables<'a>(&'a self, kind: &'a [&str]) -> impl Iterator<Item = &'a Table> {
        assert!(KINDS.contains(&kind));
        self.tables.iter().filter(move |table| table.is(kind))
    }
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let inner = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    let inner = inner.unwrap_or_else(|| panic!("a row of a table ends with a bar: {line}"));
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

fn plain(cell: String) -> String {
    cell.replace('`', "")
}

/// Parses a number, decimal or hexadecimal.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Names that the source of the contract defines.
pub struct Source {
    /// Structs that are `repr(C)`.
    pub structs: BTreeSet<String>,
    /// Code newtypes.
    pub codes: BTreeSet<String>,
    /// Constants that are not values of a code.
    pub constants: BTreeSet<String>,
}

/// Reads them. The source is formatted by rustfmt, so that lines tell enough.
pub fn read_source() -> Source {
    let mut source = Source {
        structs: BTreeSet::new(),
        codes: BTreeSet::new(),
        constants: BTreeSet::new(),
    };
    for path in files(Path::new(env!("CARGO_MANIFEST_DIR")), "rs") {
        let text = read(&path);
        let mut repr_c = false;
        for line in text.lines().map(str::trim) {
            let name = |rest: &str| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                rest[..end.unwrap_or(rest.len())].to_owned()
            };
            if line == "#[repr(C)]" {
                repr_c = true;
            } else if let Some(rest) = line.strip_prefix("pub struct ") {
                if repr_c {
                    source.structs.insert(name(rest));
                } else if line.ends_with(") {") {
                    source.codes.insert(name(rest));
                }
                repr_c = false;
            } else if let Some(rest) = line.strip_prefix("pub const ") {
                let constant = name(rest);
                if constant != "fn" && constant.starts_with(|c: char| c.is_ascii_uppercase()) {
                    source.constants.insert(constant);
                }
            }
        }
    }
    assert!(!source.structs.is_empty() && !source.codes.is_empty() && !source.constants.is_empty());
    source
}

/// Returns the files with this ending below a directory, but for tests, sorted.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory can be read to its end").path();
        if path.is_dir() {
            if path
                .file_name()
                .is_some_and(|name| name != "tests" && name != "target")
            {
                found.extend(files(&path, ending));
            }
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
