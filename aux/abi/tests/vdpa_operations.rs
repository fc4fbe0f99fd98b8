// SPDX-License-Identifier: GPL-2.0

//! Holds the table of vDPA operations in `Documentation/vdpa.md` against the table in the code.

use std::collections::BTreeMap;
use std::path::Path;

/// Number of operations of `struct vdpa_config_ops` in Linux 7.2.
const OPERATIONS: usize = 47;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn operations_are_documented_as_they_are() {
    let code = read("kernel/vdpa/ops.rs");
    let table = code
        .split_once("const OPS: ")
        .and_then(|(_, rest)| rest.split_once("};"))
        .expect("a table of operations")
        .0;
    let implemented: Vec<_> = table
        .lines()
        .filter_map(|line| Some(line.trim().split_once(": Some(Self::")?.0))
        .collect();
    let guide = read("Documentation/vdpa.md");
    let documented: BTreeMap<_, _> = guide
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((name, rest.starts_with("yes |")))
        })
        .collect();
    assert_eq!(documented.len(), OPERATIONS);
    for (name, said) in &documented {
        assert_eq!(*said, implemented.contains(name), "{name}");
    }
    for name in implemented {
        assert!(documented.contains_key(name), "{name} is not documented");
    }
}
