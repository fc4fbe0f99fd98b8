// SPDX-License-Identifier: GPL-2.0

//! Turns SR-IOV off when the last VF that users had taken one by one was given back.
//!
//! VFs go under the lock that keeps PCI devices from coming and going. Who removes a PF holds that lock
//! and waits for the lock of the devlink instance, which is held while a port is deleted: it is done
//! later.

use ferrite_abi::event::FunctionState;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    impl_has_work, new_mutex, new_work, pci,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue::{
        Work,
        WorkItem, //
    },
};
use kernel_ext::{
    pci::{
        self as pci_ext,
        Held, //
    },
    work::{
        self,
        cancel_sync, //
    },
};

use crate::{
    devlink::Devlink,
    functions::Functions,
    vf::{
        set_policy,
        VfUse, //
    }, //
};

/// How many are queued or run.
static UNDER_WAY: Atomic<u32> = Atomic::new(0);

/// Waits until nothing is done for PFs that are gone, for the module to go. There may be something only if
/// a PF was just removed from its bus.
pub(crate) fn settle() {
    while UNDER_WAY.load(Relaxed) > 0 {
        fsleep(Delta::from_millis(1));
    }
}

/// The end of SR-IOV on a PF, for when it comes.
#[pin_data]
pub(crate) struct Retirement {
    /// Nothing once the PF is being unbound.
    #[pin]
    target: Mutex<Option<(Arc<Functions>, Arc<Devlink>)>>,
    #[pin]
    work: Work<Retirement>,
}

impl_has_work! {
    impl HasWork<Self> for Retirement { self.work }
}

impl Retirement {
    /// Prepares for the end of the VFs of `functions`.
    pub(crate) fn new(functions: Arc<Functions>, devlink: Arc<Devlink>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                target <- new_mutex!(Some((functions, devlink)), "ferrite_retirement"),
                work <- new_work!("ferrite_retirement"),
            }),
            GFP_KERNEL,
        )
    }

    /// Has SR-IOV turned off soon if no VF is taken then.
    pub(crate) fn enqueue(self: &Arc<Self>) {
        UNDER_WAY.fetch_add(1, Relaxed);
        if work::queue().enqueue(self.clone()).is_err() {
            UNDER_WAY.fetch_sub(1, Relaxed);
        }
    }

    /// Forgets the PF. What is under way finds nothing to do.
    pub(crate) fn forget(&self) {
        let target = self.target.lock().take();
        drop(target);
    }

    /// Waits for what is under way, unless the caller holds up just that.
    pub(crate) fn cancel(self: &Arc<Self>, pdev: &pci::Device<Bound>) {
        if !pci_ext::is_being_removed(pdev) && cancel_sync(self) {
            UNDER_WAY.fetch_sub(1, Relaxed);
        }
    }

    fn retire(&self, held: &Held) {
        let Some((functions, devlink)) = self.target.lock().clone() else {
            return;
        };
        let Some(board) = functions.board().enter() else {
            return;
        };
        let _locked = devlink.lock();
        let VfUse::ByHand(_) = functions.vf_use() else {
            return;
        };
        if !functions.is_open() || functions.added_by_hand().1 > 0 {
            return;
        }
        let device: &Device<Bound> = board.device();
        let Ok(pdev) = <&pci::Device<Bound>>::try_from(device) else {
            return;
        };
        // If a VF is used by a virtual machine, all stay until somebody writes to sriov_numvfs.
        if pci_ext::disable_sriov_held(pdev, held).is_ok() {
            functions.set_vf_use(VfUse::Off);
            // If it fails, that is in the log, and it is set again when there are to be VFs.
            let _ = set_policy(&board, FunctionState::ACTIVE);
        }
    }
}

impl WorkItem for Retirement {
    type Pointer = Arc<Retirement>;

    fn run(this: Arc<Retirement>) {
        pci_ext::hold_devices(|held| this.retire(held));
        drop(this);
        UNDER_WAY.fetch_sub(1, Relaxed);
    }
}
