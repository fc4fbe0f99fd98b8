// SPDX-License-Identifier: GPL-2.0

//! What a developer can see and do: `/sys/kernel/debug/ferrite_core-<PCI address>/`.
//!
//! - `admin`: state, rings and counters of the admin queue
//! - `slots`: the commands that it has
//! - `failures`: what went wrong on it, newest last
//! - `events`: ring and counters of the event queue
//! - `functions`: on a PF, the functions that have a port, and where they are in their life
//! - `admin_timeout_ms`: time that a command may take
//! - `fault`: on a device with that feature, takes orders such as
//!   `lose_completion opcode=0x0000 count=1`, or `clear`

use ferrite_abi::{
    cmd::ClearFaults,
    ids::FunctionId,
    regs::Features, //
};
use kernel::{
    debugfs::{
        Scope,
        ScopedDir, //
    },
    device::{
        Bound,
        Device, //
    },
    fmt::{
        self,
        Formatter, //
    },
    prelude::*,
    str::CString,
    sync::Arc,
    time::Msecs,
    uaccess::UserSliceReader, //
};

use crate::{
    adminq::AdminQueue,
    board::Board,
    eventq::EventQueue,
    functions::Functions,
    logic::{
        fault::{
            self,
            BadOrder,
            Order, //
        },
        slot::SlotState, //
    },
};

/// Longest line that can be written to a file.
const LINE: usize = 128;
const NANOS_PER_MSEC: u64 = 1_000_000;

/// What the files show.
pub(crate) struct View {
    admin: Arc<AdminQueue>,
    events: Arc<EventQueue>,
    function: FunctionId,
    functions: Option<Arc<Functions>>,
    faults: bool,
}

/// Makes the directory of a device, which is there until what is returned is dropped.
pub(crate) fn publish(
    device: &Device<Bound>,
    events: Arc<EventQueue>,
    board: &Board,
    functions: Option<Arc<Functions>>,
) -> Result<Pin<KBox<Scope<View>>>> {
    let name = CString::try_from_fmt(fmt!("ferrite_core-{}", device.name()))?;
    let view = View {
        admin: board.admin.clone(),
        events,
        function: board.own(),
        functions,
        faults: board.features.contains(Features::FAULTS),
    };
    KBox::pin_init(Scope::dir(Ok::<_, Error>(view), &name, fill), GFP_KERNEL)
}

fn fill<'data>(view: &'data View, dir: &ScopedDir<'data, '_>) {
    dir.read_callback_file(c"admin", view, &show_admin);
    dir.read_callback_file(c"slots", view, &show_slots);
    dir.read_callback_file(c"failures", view, &show_failures);
    dir.read_callback_file(c"events", view, &show_events);
    if view.functions.is_some() {
        dir.read_callback_file(c"functions", view, &show_functions);
    }
    dir.read_write_callback_file(c"admin_timeout_ms", view, &show_timeout, &store_timeout);
    if view.faults {
        dir.write_only_callback_file(c"fault", view, &store_fault);
    }
}

fn show_admin(view: &View, f: &mut Formatter<'_>) -> fmt::Result {
    let (submissions, answers) = view.admin.bus();
    view.admin.inspect(|engine| {
        let (tail, sq_head, cq_head) = engine.indices();
        writeln!(f, "state: {:?}", engine.state())?;
        writeln!(f, "depth: {}", engine.slots().len())?;
        writeln!(
            f,
            "sq: addr {submissions:#x} tail {} head {}",
            tail.0, sq_head.0
        )?;
        writeln!(f, "cq: addr {answers:#x} head {}", cq_head.0)?;
        for (name, count) in engine.counters().named() {
            writeln!(f, "{name}: {count}")?;
        }
        Ok(())
    })
}

fn show_slots(view: &View, f: &mut Formatter<'_>) -> fmt::Result {
    let now = view.admin.now();
    view.admin.inspect(|engine| {
        for (index, slot) in engine.slots().iter().enumerate() {
            write!(f, "{index}: {} generation {}", slot.word(), slot.generation)?;
            if let SlotState::Pending | SlotState::Quarantined = slot.state {
                let age = now.saturating_sub(slot.posted) / NANOS_PER_MSEC;
                write!(f, " {:?} for {age} ms", slot.opcode)?;
            }
            writeln!(f)?;
        }
        Ok(())
    })
}

fn show_failures(view: &View, f: &mut Formatter<'_>) -> fmt::Result {
    let now = view.admin.now();
    view.admin.inspect(|engine| {
        for (number, failure) in engine.failures().since(0) {
            let age = now.saturating_sub(failure.at) / NANOS_PER_MSEC;
            writeln!(f, "{number}: {age} ms ago: {failure}")?;
        }
        Ok(())
    })
}

fn show_events(view: &View, f: &mut Formatter<'_>) -> fmt::Result {
    let (entries, head, counters) = view.events.inspect();
    writeln!(f, "depth: {entries}")?;
    writeln!(f, "eq: addr {:#x} head {head}", view.events.bus())?;
    for (name, count) in counters.named() {
        writeln!(f, "{name}: {count}")?;
    }
    Ok(())
}

fn show_functions(view: &View, f: &mut Formatter<'_>) -> fmt::Result {
    let Some(functions) = &view.functions else {
        return Ok(());
    };
    let (sfs, max_sfs) = functions.sf_occupancy();
    writeln!(f, "sfs: {sfs} of {max_sfs}")?;
    writeln!(f, "vfs: {:?}", functions.vf_use())?;
    writeln!(f, "switchdev: {}", functions.is_switchdev())?;
    writeln!(f, "unconfirmed: {}", functions.unconfirmed())?;
    for port in Iterator::chain(functions.sfs(), functions.vfs()) {
        let (stage, state) = port.look();
        writeln!(
            f,
            "{:#x}: {:?} {stage:?} {state:?}",
            port.id().0,
            port.kind()
        )?;
    }
    Ok(())
}

fn show_timeout(view: &View, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}", view.admin.timeout())
}

fn store_timeout(view: &View, reader: &mut UserSliceReader) -> Result {
    with_line(reader, |line| {
        let timeout = line.trim().parse::<Msecs>().map_err(|_| EINVAL)?;
        view.admin.set_timeout(timeout)
    })
}

fn store_fault(view: &View, reader: &mut UserSliceReader) -> Result {
    with_line(reader, |line| {
        let order = fault::parse(line).map_err(|bad| match bad {
            BadOrder::OutOfRange => ERANGE,
            BadOrder::UnknownKind => ENOENT,
            BadOrder::Empty | BadOrder::BadWord => EINVAL,
        })?;
        match order {
            Order::Clear => view.admin.send(view.function, ClearFaults {})?,
            Order::Inject(fault) => view.admin.send(view.function, fault)?,
        }
        Ok(())
    })
}

/// Reads the line that a user wrote.
fn with_line(reader: &mut UserSliceReader, take: impl FnOnce(&str) -> Result) -> Result {
    let mut buffer = [0; LINE];
    let line = buffer.get_mut(..reader.len()).ok_or(E2BIG)?;
    reader.read_slice(line)?;
    take(core::str::from_utf8(line).map_err(|_| EINVAL)?)
}
