// SPDX-License-Identifier: GPL-2.0

//! Streams of saved state with any contents: refused, or loaded and worked with.

#![no_main]

use ferrite_model::PciFn;
use ferrite_model_fuzz::{
    disturb,
    machine,
    Bytes,
    RUNS, //
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut machine = machine();
    if machine.device.load(data).is_err() {
        return;
    }
    machine.host.scheduled = true;
    machine.run(RUNS);
    // What was loaded can be saved, and is the same when it is loaded again.
    machine.migrate();
    machine.run(RUNS);
    for function in 0..3 {
        for offset in (0..0x130).step_by(4) {
            machine.read_at(PciFn(function), offset);
        }
    }
    let mut bytes = Bytes::new(data);
    for _ in 0..8 {
        disturb(&mut machine, &mut bytes);
        machine.run(RUNS);
    }
});
