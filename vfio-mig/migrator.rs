// SPDX-License-Identifier: GPL-2.0

//! The PCI driver: what it has of a VF, and what VFIO asks of it.

use ferrite_abi::{
    bar::{
        BAR_DOORBELLS,
        BAR_REGS,
        VF_CONTROLS_OFFSET, //
    },
    cmd::{
        MigrationCaps,
        MigrationInfo,
        QueryMigration, //
    },
    ids::{
        PCI_DEVICE_VF,
        PCI_VENDOR, //
    },
};
use ferrite_aux::{
    CmdError,
    Controlled,
    Subscription, //
};
use kernel::{
    bindings,
    device::{
        self,
        Core, //
    },
    fs::File,
    new_mutex, new_spinlock, pci,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SpinLock, //
    },
};
use kernel_vfio::{
    Device,
    DeviceId,
    Dirty,
    Driver,
    IdTable,
    Ranges,
    MIGRATION_P2P,
    MIGRATION_PRE_COPY,
    MIGRATION_STOP_COPY, //
};

use crate::{
    changed::Changed,
    dirty::Log,
    driver,
    reset::Held,
    state::Progress, //
};

kernel_vfio::device_table!(
    TABLE,
    MODULE_TABLE,
    [(DeviceId::new(PCI_VENDOR, PCI_DEVICE_VF), ())]
);

/// What the driver has of a VF.
///
/// Of its locks `progress` is taken first and waits for commands and for user memory. `pending_reset` is held for
/// moments; `log` has nothing to do with them.
#[pin_data]
pub(crate) struct Migrator {
    /// The VF, to tell of it in the log.
    pub(crate) device: ARef<device::Device>,
    /// By which it is controlled, if it can be migrated, and what the device says of that.
    controlled: Option<(Controlled, MigrationCaps)>,
    /// Where it is.
    #[pin]
    pub(crate) progress: Mutex<Progress>,
    /// Whether it was reset while somebody held `progress`, who sees to it when letting go.
    #[pin]
    pub(crate) pending_reset: SpinLock<bool>,
    /// Something changed for those who poll.
    pub(crate) changed: Arc<Changed>,
    /// Has the device say so, too.
    _events: Option<Subscription>,
    /// What it writes to.
    #[pin]
    pub(crate) log: Mutex<Log>,
}

impl Migrator {
    /// Returns the handle by which the VF is controlled. VFIO asks for nothing that needs it if there is none.
    pub(crate) fn controlled(&self) -> Result<&Controlled> {
        let (controlled, _) = self.controlled.as_ref().ok_or(ENOTSUPP)?;
        Ok(controlled)
    }
}

/// Turns the failure of a command into what user space is told.
pub(crate) fn errno(error: CmdError) -> Error {
    match error {
        // CAST: errno values are small.
        CmdError::Gone => Error::from_errno(-(bindings::ENOTCONN as i32)),
        error => error.into(),
    }
}

/// Repeats a command that may be sent twice, if its answer was lost.
pub(crate) fn insist<R>(mut send: impl FnMut() -> Result<R, CmdError>) -> Result<R, CmdError> {
    const TRIES: u32 = 3;
    let mut result = send();
    for _ in 1..TRIES {
        if !matches!(result, Err(CmdError::Timeout)) {
            break;
        }
        result = send();
    }
    result
}

/// Asks for the handle of a VF, and whether the device can move it.
fn look_for_control(pdev: &pci::Device<Core<'_>>) -> Option<(Controlled, MigrationCaps)> {
    let Some(controlled) = driver::find(pdev) else {
        dev_info!(pdev, "the PF does not hand the VF out to be migrated\n");
        return None;
    };
    let mut info = MigrationInfo::default();
    match controlled.fetch(QueryMigration {}, &mut info) {
        Ok(()) => Some((controlled, MigrationCaps(info.caps.get()))),
        Err(error) => {
            dev_warn!(pdev, "the VF cannot be migrated: {error}\n");
            None
        }
    }
}

impl Driver for Migrator {
    const NAME: &'static CStr = c"ferrite-vfio";
    const ID_TABLE: IdTable = &TABLE;
    const MIGRATION: u32 = MIGRATION_STOP_COPY | MIGRATION_P2P | MIGRATION_PRE_COPY;
    const WINDOW: u32 = BAR_DOORBELLS as u32;

    fn probe<'a>(pdev: &'a pci::Device<Core<'_>>) -> impl PinInit<Self, Error> + 'a {
        let device: &device::Device = pdev.as_ref();
        try_pin_init!(Self {
            device: device.into(),
            changed: Changed::new()?,
            controlled: look_for_control(pdev),
            _events: controlled
                .as_ref()
                .map(|(controlled, _)| controlled.subscribe(changed.clone()))
                .transpose()?,
            progress <- new_mutex!(Progress::new()?, "ferrite_vfio_progress"),
            pending_reset <- new_spinlock!(false, "ferrite_vfio_reset"),
            log <- new_mutex!(Log::new()?, "ferrite_vfio_log"),
        })
    }

    fn can_migrate(&self) -> bool {
        self.controlled.is_some()
    }

    /// Registers are read and written through VFIO, not mapped: there is nothing in them that must be fast.
    fn is_mappable(bar: u32) -> bool {
        bar == u32::from(ferrite_abi::bar::BAR_MSIX)
    }

    /// Where the device has them, controls of the migration of the VF are in the upper half of its registers: a user who
    /// reaches these could resume what is being saved.
    fn visible(&self, bar: u32) -> Option<u64> {
        let (_, caps) = self.controlled.as_ref()?;
        let has = bar == u32::from(BAR_REGS) && caps.contains(MigrationCaps::VF_CONTROLS);
        has.then_some(VF_CONTROLS_OFFSET.into())
    }

    fn opened(device: &Device<Self>) {
        Held::take(device).start_over();
    }

    fn closing(device: &Device<Self>) {
        Held::take(device).end_session();
        crate::dirty::stop(device.data().get_ref());
    }

    fn was_reset(device: &Device<Self>) {
        crate::reset::was_reset(device);
    }

    fn set_state(device: &Device<Self>, state: u32) -> Result<Option<ARef<File>>> {
        Held::take(device).go_to(state)
    }

    fn state(device: &Device<Self>) -> Result<u32> {
        Ok(Held::take(device).state().raw())
    }

    fn data_size(device: &Device<Self>) -> Result<usize> {
        Held::take(device).data_size()
    }

    fn log_start(device: &Device<Self>, ranges: Ranges<'_>, page_size: u64) -> Result<u64> {
        crate::dirty::start(device.data().get_ref(), ranges, page_size)
    }

    fn log_stop(device: &Device<Self>) -> Result {
        crate::dirty::stop(device.data().get_ref());
        Ok(())
    }

    fn log_report(
        device: &Device<Self>,
        iova: usize,
        length: usize,
        dirty: &mut Dirty<'_>,
    ) -> Result {
        crate::dirty::report(device.data().get_ref(), iova, length, dirty)
    }
}
