// SPDX-License-Identifier: GPL-2.0

//! Bytes as a person writes them, for the tests that compare structs with such.

use ferrite_abi::wire::Wire;

/// Parses hexadecimal bytes; `00*16` is sixteen zero bytes.
pub fn bytes(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .flat_map(|word| {
            let (byte, count) = word.split_once('*').unwrap_or((word, "1"));
            let byte = u8::from_str_radix(byte, 16).expect("two hexadecimal digits");
            vec![byte; count.parse().expect("a count")]
        })
        .collect()
}

/// Checks that `value` is written as `text`, and that `text` is read as `value`.
pub fn golden<T: Wire + std::fmt::Debug>(value: T, text: &str) {
    let golden = bytes(text);
    assert_eq!(value.as_bytes(), golden, "written: {value:?}");
    let read = T::read_from_bytes(&golden).expect("as many bytes as the struct has");
    assert_eq!(format!("{read:?}"), format!("{value:?}"), "read back");
}
