// SPDX-License-Identifier: GPL-2.0

//! KUnit tests: what the logic says against what the kernel does.

use kernel::prelude::*;

#[kunit_tests(ferrite_vfio)]
mod tests {
    use super::*;
    use crate::logic::state::State;

    #[test]
    fn ways_are_those_of_vfio() -> Result {
        let mut pairs = 0;
        for now in State::ALL {
            if now == State::Error {
                // VFIO warns of a driver that asks.
                continue;
            }
            for wanted in State::ALL {
                let theirs = kernel_vfio::next_state(now.raw(), wanted.raw()).ok();
                let ours = now.next(wanted).map(State::raw);
                assert_eq!(theirs, ours);
                pairs += 1;
            }
        }
        assert_eq!(pairs, 7 * 8);
        Ok(())
    }
}
