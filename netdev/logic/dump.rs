// SPDX-License-Identifier: GPL-2.0

//! The registers as users see them with `ethtool -d`: for each that can be read its offset and its value. Those that
//! belong to who moves a VF are not the driver's.

use ferrite_abi::regs::{
    Access,
    RegisterInfo,
    REGISTERS, //
};

/// Version of the format.
pub const VERSION: u32 = 1;

/// Number of words: two for each register.
pub const WORDS: usize = 2 * readable();

const fn readable() -> usize {
    let (mut count, mut index) = (0, 0);
    while index < REGISTERS.len() {
        if is_shown(&REGISTERS[index]) {
            count += 1;
        }
        index += 1;
    }
    count
}

const fn is_shown(register: &RegisterInfo) -> bool {
    !matches!(register.access, Access::Wo) && register.is_drivers()
}

/// Fills `words` with offsets and what `read` returns for them.
pub fn fill(words: &mut [u32], mut read: impl FnMut(&'static RegisterInfo) -> u32) {
    let registers = REGISTERS.iter().filter(|register| is_shown(register));
    for (to, register) in words.chunks_exact_mut(2).zip(registers) {
        to[0] = register.offset;
        to[1] = read(register);
    }
}
