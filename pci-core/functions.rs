// SPDX-License-Identifier: GPL-2.0

//! The functions that a PF provisions: SFs and VFs with a port.

use ferrite_abi::{
    admin::Status,
    cmd::{
        CreateSf,
        DestroySf,
        EswitchMode,
        Identity, //
    },
    event::{
        Event,
        FunctionChange,
        FunctionState, //
    },
    ids::{
        FunctionId,
        FunctionKind,
        MAX_SFS,
        MAX_VFS, //
    },
    wire::{
        U16,
        U32, //
    },
};
use ferrite_aux::CmdError;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    xarray::{
        AllocKind,
        XArray, //
    }, //
};
use kernel_ext::{
    devlink::{
        ExtAck,
        Locked,
        NewFlavour,
        NewPort,
        Port, //
    },
    gate::{
        Gate,
        Inside, //
    }, //
};

use crate::{
    board::Board,
    eswitch,
    logic::{
        idset::IdSet,
        request::{
            Request,
            Wanted, //
        }, //
    },
    port::{
        failed,
        FunctionPort,
        Kind, //
    },
    rate::Nodes,
    retire::Retirement,
    vectors::VfVectors,
    vf::{
        self,
        VfUse, //
    }, //
};

type SfSet = IdSet<{ MAX_SFS as usize / 64 }>;
/// A set of VFs, by their numbers.
pub(crate) type VfSet = IdSet<{ MAX_VFS as usize / 64 }>;

/// The functions of a PF.
///
/// They change with the lock of the devlink instance held.
#[pin_data]
pub(crate) struct Functions {
    board: Gate<Board>,
    /// Names the switch.
    switch: [u8; 16],
    /// Largest number of SFs.
    max_sfs: u16,
    #[pin]
    nodes: Nodes,
    #[pin]
    vf_vectors: VfVectors,
    /// The functions with a port, by id.
    #[pin]
    ports: XArray<Arc<FunctionPort>>,
    /// The SFs, by the number that users gave them.
    #[pin]
    numbers: XArray<Arc<FunctionPort>>,
    /// Held for moments only.
    #[pin]
    state: Mutex<State>,
}

struct State {
    /// Whether functions can be added: the PF is not being unbound.
    open: bool,
    switchdev: bool,
    /// Indices of the SFs.
    sfs: SfSet,
    /// Indices of the VFs with a port.
    vfs: VfSet,
    /// Those of the low numbers that an SF has.
    low_numbers: SfSet,
    /// Indices of SFs whose end the device has not confirmed.
    lost: SfSet,
    vf_use: VfUse,
    /// VFs that were taken from their driver for the time of a reset.
    released: VfSet,
    retirement: Option<Arc<Retirement>>,
}

impl Functions {
    /// Returns an empty set for the PF `device`, which says of itself who it is.
    pub(crate) fn new(
        device: &Device<Bound>,
        board: Arc<Board>,
        identity: &Identity,
    ) -> Result<Arc<Self>> {
        let board = Gate::new(device, board)?;
        Arc::pin_init(
            pin_init!(Self {
                board,
                switch: identity.uuid,
                max_sfs: identity.max_sfs.get(),
                nodes <- Nodes::new(),
                vf_vectors <- VfVectors::new(identity),
                ports <- XArray::new(AllocKind::Alloc),
                numbers <- XArray::new(AllocKind::Alloc),
                state <- new_mutex!(State {
                    open: true,
                    switchdev: false,
                    sfs: SfSet::EMPTY,
                    vfs: VfSet::EMPTY,
                    low_numbers: SfSet::EMPTY,
                    lost: SfSet::EMPTY,
                    vf_use: VfUse::Off,
                    released: VfSet::EMPTY,
                    retirement: None,
                }, "ferrite_functions"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the way to the device.
    pub(crate) fn board(&self) -> &Gate<Board> {
        &self.board
    }

    /// Returns the nodes of rates.
    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Returns the MSI-X vectors that VFs can be given.
    pub(crate) fn vf_vectors(&self) -> &VfVectors {
        &self.vf_vectors
    }

    /// Returns the id of the switch.
    pub(crate) fn switch_id(&self) -> &[u8] {
        &self.switch
    }

    /// Returns whether the switch is in switchdev mode.
    pub(crate) fn is_switchdev(&self) -> bool {
        self.state.lock().switchdev
    }

    /// Takes note of the mode of the switch.
    pub(crate) fn set_switchdev(&self, switchdev: bool) {
        self.state.lock().switchdev = switchdev;
    }

    /// Returns whether functions can be added.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().open
    }

    /// Returns who made the VFs.
    pub(crate) fn vf_use(&self) -> VfUse {
        self.state.lock().vf_use
    }

    /// Takes note of who made the VFs.
    pub(crate) fn set_vf_use(&self, vf_use: VfUse) {
        self.state.lock().vf_use = vf_use;
    }

    /// Has `retirement` turn SR-IOV off when users took no VF any more.
    pub(crate) fn retire_by(&self, retirement: Arc<Retirement>) {
        self.state.lock().retirement = Some(retirement);
    }

    /// Returns what turns SR-IOV off.
    pub(crate) fn retirement(&self) -> Option<Arc<Retirement>> {
        self.state.lock().retirement.clone()
    }

    /// Returns how many SFs there are, and how many there can be.
    pub(crate) fn sf_occupancy(&self) -> (u32, u32) {
        (self.state.lock().sfs.len(), self.max_sfs.into())
    }

    /// Returns how many SFs the device has not confirmed the end of.
    pub(crate) fn unconfirmed(&self) -> u32 {
        self.state.lock().lost.len()
    }

    /// Returns how many SFs and VFs users added a port for.
    pub(crate) fn added_by_hand(&self) -> (u32, u32) {
        let state = self.state.lock();
        match state.vf_use {
            VfUse::ByHand(_) => (state.sfs.len(), state.vfs.len()),
            _ => (state.sfs.len(), 0),
        }
    }

    /// Returns the lowest VF below `count` that has no port.
    pub(crate) fn vf_without_port(&self, count: u16) -> Option<u16> {
        let index = self.state.lock().vfs.lowest_missing()?;
        // CAST: less than `count`.
        (index < count.into()).then_some(index as u16)
    }

    /// Returns the function with a port that has this id.
    pub(crate) fn find(&self, id: FunctionId) -> Option<Arc<FunctionPort>> {
        self.ports.lock().get(id.0.into()).map(Arc::from)
    }

    fn sf_port(&self, from: u32) -> Option<(u32, Arc<FunctionPort>)> {
        let index = self.state.lock().sfs.next(from)?;
        // CAST: an index of the set is below `MAX_SFS`.
        Some((index, self.find(FunctionId::sf(index as u16)?)?))
    }

    fn vf_port(&self, from: u32) -> Option<(u32, Arc<FunctionPort>)> {
        let index = self.state.lock().vfs.next(from)?;
        // CAST: an index of the set is below `MAX_VFS`.
        Some((index, self.find(FunctionId::vf(index as u16)?)?))
    }

    /// Returns all SFs with a port.
    pub(crate) fn sfs(&self) -> impl Iterator<Item = Arc<FunctionPort>> + '_ {
        let mut from = 0;
        core::iter::from_fn(move || {
            let (index, port) = self.sf_port(from)?;
            from = index + 1;
            Some(port)
        })
    }

    /// Returns all VFs with a port.
    pub(crate) fn vfs(&self) -> impl Iterator<Item = Arc<FunctionPort>> + '_ {
        let mut from = 0;
        core::iter::from_fn(move || {
            let (index, port) = self.vf_port(from)?;
            from = index + 1;
            Some(port)
        })
    }

    /// Makes a function one of the set.
    pub(crate) fn remember(&self, port: &Arc<FunctionPort>) -> Result {
        let id = port.id();
        self.ports
            .lock()
            .store(id.0.into(), port.clone(), GFP_KERNEL)?;
        if let Kind::Sf { number } = port.kind() {
            let stored = self
                .numbers
                .lock()
                .store(number as usize, port.clone(), GFP_KERNEL)
                .map(drop);
            if let Err(error) = stored {
                let removed = self.ports.lock().remove(id.0.into());
                drop(removed);
                return Err(error.into());
            }
        }
        let mut state = self.state.lock();
        match (port.kind(), id.kind()) {
            (Kind::Sf { number }, Some(FunctionKind::Sf(index))) => {
                state.sfs.insert(index.into());
                state.low_numbers.insert(number);
            }
            (_, Some(FunctionKind::Vf(index))) => {
                state.vfs.insert(index.into());
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes a function out of the set, and away from users.
    pub(crate) fn drop_port(&self, port: &FunctionPort) {
        port.vanish();
        let id = port.id();
        {
            let mut state = self.state.lock();
            match (port.kind(), id.kind()) {
                (_, Some(FunctionKind::Sf(index))) => {
                    state.sfs.remove(index.into());
                }
                (_, Some(FunctionKind::Vf(index))) => {
                    state.vfs.remove(index.into());
                }
                _ => {}
            }
        }
        self.free_number(port);
        let removed = self.ports.lock().remove(id.0.into());
        drop(removed);
    }

    /// Lets another SF have the number of one.
    fn free_number(&self, port: &FunctionPort) {
        if let Kind::Sf { number } = port.kind() {
            self.state.lock().low_numbers.remove(number);
            let removed = self.numbers.lock().remove(number as usize);
            drop(removed);
        }
    }

    /// Deletes an inactive function that a user added.
    pub(crate) fn forget(&self, port: &FunctionPort, board: &Inside<'_, Board>) {
        self.drop_port(port);
        match (port.kind(), port.id().kind()) {
            (Kind::Sf { .. }, Some(FunctionKind::Sf(index))) => {
                if !port.destroy(board.device(), board) {
                    self.state.lock().lost.insert(index.into());
                }
            }
            _ => self.vf_forgotten(port, board),
        }
    }

    /// Adds the port that a user asks for, with its function.
    pub(crate) fn add(
        self: &Arc<Self>,
        new: &NewPort,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Arc<Port>> {
        let request = Request {
            wanted: match new.flavour {
                NewFlavour::PciSf => Wanted::Sf { sfnum: new.sfnum },
                NewFlavour::PciVf => Wanted::Vf,
                NewFlavour::Other(_) => Wanted::Other,
            },
            pfnum: new.pfnum,
            controller: new.controller,
            index: new.port_index,
        };
        request.check(self.is_switchdev()).map_err(|bad| {
            extack.set(fmt!("{bad}"));
            kernel_ext::devlink::not_supported()
        })?;
        let board = self.board.enter().ok_or(ENODEV)?;
        if !self.is_open() {
            extack.set(fmt!("the driver of the PF is being unbound"));
            return Err(ENODEV);
        }
        let port = match request.wanted {
            Wanted::Sf { sfnum } => self.add_sf(&request, sfnum, &board, locked, extack)?,
            _ => self.add_vf(&request, &board, locked, extack)?,
        };
        port.port().ok_or(ENODEV)
    }

    fn add_sf(
        self: &Arc<Self>,
        request: &Request,
        sfnum: Option<u32>,
        board: &Inside<'_, Board>,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Arc<FunctionPort>> {
        let number = match sfnum {
            Some(number) => number,
            None => {
                let lowest = self.state.lock().low_numbers.lowest_missing();
                lowest.ok_or_else(|| {
                    extack.set(fmt!("all low SF numbers are in use; give an sfnum"));
                    ENOSPC
                })?
            }
        };
        if self.numbers.lock().get(number as usize).is_some() {
            extack.set(fmt!("sfnum {number} is in use; use another"));
            return Err(EEXIST);
        }
        let command = CreateSf {
            sfnum: U32::new(number),
        };
        let mut created = board.admin.send(board.own(), command);
        if matches!(created, Err(CmdError::Status(Status::NO_RESOURCE))) && self.retry_lost(board) {
            created = board.admin.send(board.own(), command);
        }
        let done = created.map_err(|error| {
            let (used, max) = self.sf_occupancy();
            if used >= max {
                extack.set(fmt!("all {max} SFs are in use; delete one first"));
                ENOSPC
            } else {
                failed(extack, "the device does not make an SF", error)
            }
        })?;
        let id = FunctionId(done.function.get());
        let Some(FunctionKind::Sf(index)) = id.kind() else {
            extack.set(fmt!("the device made an SF of id {:#x}", id.0));
            return Err(EIO);
        };
        if self.find(id).is_some() {
            extack.set(fmt!("the device made SF {index}, which there is already"));
            return Err(EIO);
        }
        self.state.lock().lost.remove(index.into());
        let end = || {
            if board.admin.send(id, DestroySf {}).is_err() {
                self.state.lock().lost.insert(index.into());
            }
        };
        let port = FunctionPort::add(
            self,
            board,
            (id, Kind::Sf { number }),
            request,
            locked,
            extack,
        )
        .inspect_err(|_| end())?;
        self.remember(&port).inspect_err(|_| {
            port.vanish();
            end();
        })?;
        Ok(port)
    }

    /// Has the device make an SF that there was before.
    pub(crate) fn create_sf(board: &Board, number: u32) -> Result<FunctionId> {
        let command = CreateSf {
            sfnum: U32::new(number),
        };
        let done = board.admin.send(board.own(), command)?;
        let id = FunctionId(done.function.get());
        match id.kind() {
            Some(FunctionKind::Sf(_)) => Ok(id),
            _ => Err(EIO),
        }
    }

    /// Asks the device again to end an SF that it did not confirm. Returns whether it did.
    fn retry_lost(&self, board: &Board) -> bool {
        let Some(index) = self.state.lock().lost.next(0) else {
            return false;
        };
        // CAST: an index of the set is below `MAX_SFS`.
        let Some(id) = FunctionId::sf(index as u16) else {
            return false;
        };
        let ended = match board.admin.send(id, DestroySf {}) {
            Ok(()) => true,
            // There is none.
            Err(CmdError::Status(Status::INVALID_FUNCTION)) => true,
            Err(_) => false,
        };
        if ended {
            self.state.lock().lost.remove(index);
        }
        ended
    }

    /// Takes note of a change that the device tells of.
    pub(crate) fn note(&self, event: &Event, change: FunctionChange) {
        let id = FunctionId(event.function.get());
        let state = FunctionState(change.state.get());
        if let Some(port) = self.find(id) {
            port.note(state);
            if let (true, Some(board)) = (port.is_for_vfio(), self.board.enter()) {
                port.ask(&board);
            }
        }
        if let (FunctionState::ABSENT, Some(FunctionKind::Sf(index))) = (state, id.kind()) {
            let mut state = self.state.lock();
            if !state.lost.is_empty() {
                state.lost.remove(index.into());
            }
        }
    }

    /// Asks for what events would have told that were lost.
    pub(crate) fn ask_anew(&self) {
        let Some(board) = self.board.enter() else {
            return;
        };
        for port in Iterator::chain(self.sfs(), self.vfs()) {
            port.ask(&board);
        }
    }

    /// Lets no more functions be added, and removes all ports. The device is about to be reset, which
    /// ends the functions.
    pub(crate) fn close(&self, _locked: &Locked<'_>) {
        self.state.lock().open = false;
        if let Some(retirement) = self.retirement() {
            retirement.forget();
        }
        while let Some((_, port)) = self.sf_port(0) {
            self.drop_port(&port);
        }
        self.remove_vf_ports();
    }

    /// Removes the ports of all VFs.
    pub(crate) fn remove_vf_ports(&self) {
        while let Some((_, port)) = self.vf_port(0) {
            self.drop_port(&port);
        }
    }

    /// Prepares for a reset of the PF: takes VFs from their drivers, and SFs, which end, from all that use
    /// them.
    pub(crate) fn before_reset(&self, device: &Device<Bound>, board: &Board, _locked: &Locked<'_>) {
        let released = vf::release_own(device);
        self.state.lock().released = released;
        for port in self.sfs() {
            port.cut_off(board);
        }
    }

    /// Makes SFs anew, which a reset of the PF has ended, each with its port and configuration, and active if
    /// it was. Their new devlink instances are told what the old ones were.
    fn make_sfs_again(&self, device: &Device<Bound>) {
        let Some(board) = self.board.enter() else {
            return;
        };
        for port in self.sfs() {
            port.cut_off(&board);
        }
        // Ids are given out anew: none of the old ones may be in the way.
        let mut ports = KVec::new();
        while let Some((index, port)) = self.sf_port(0) {
            if ports.push(port.clone(), GFP_KERNEL).is_err() {
                port.gone(&board);
                self.drop_port(&port);
                continue;
            }
            self.state.lock().sfs.remove(index);
            let removed = self.ports.lock().remove(port.id().0.into());
            drop(removed);
        }
        let mut made = 0;
        for port in ports {
            let remade = port
                .make_again(&board)
                .and_then(|active| self.remember(&port).map(|()| active));
            match remade {
                Ok(active) => {
                    made += 1;
                    if active && port.activate(&mut ExtAck::none()).is_err() {
                        dev_warn!(device, "an SF stays inactive after the reset\n");
                    }
                }
                Err(error) => {
                    dev_warn!(
                        device,
                        "an SF could not be made anew after the reset: {error:?}\n"
                    );
                    port.vanish();
                    self.free_number(&port);
                }
            }
        }
        if made > 0 {
            dev_info!(device, "{made} SFs were made anew after the reset\n");
        }
    }

    /// Provisions all anew after a reset of the PF. SFs have ended with it.
    pub(crate) fn after_reset(&self, device: &Device<Bound>, board: &Board, _locked: &Locked<'_>) {
        let switchdev = {
            let mut state = self.state.lock();
            state.lost = SfSet::EMPTY;
            state.switchdev
        };
        if switchdev {
            if let Err(error) = eswitch::set_mode(board, EswitchMode::SWITCHDEV) {
                dev_err!(
                    device,
                    "the switch stays in legacy mode after the reset: {error}\n"
                );
                self.remove_vf_ports();
                self.set_switchdev(false);
            }
        }
        if let VfUse::ByHand(count) = self.vf_use() {
            self.hold_vfs(board, count);
        }
        if let Err(error) = self.nodes.after_reset(board) {
            dev_err!(
                device,
                "rates are not as they were before the reset: {error}\n"
            );
        }
        self.make_sfs_again(device);
        for port in self.vfs() {
            if let Err(error) = port.provision_again(board) {
                dev_err!(
                    device,
                    "function {:#x} is not as it was before the reset: {error}\n",
                    port.id().0
                );
            }
            // The queues of its representor are gone.
            if let Some(owner) = port.id().representor().and_then(|id| board.routes.get(id)) {
                owner.deliver(&Event {
                    function: U16::new(owner.id().0),
                    ..change(FunctionState::IN_USE)
                });
            }
        }
        // Nothing is saved any more.
        board.routes.look_anew();
        let released = core::mem::replace(&mut self.state.lock().released, VfSet::EMPTY);
        vf::start_over(device, &released);
    }
}

/// Returns the event of a function that changed its state.
fn change(state: FunctionState) -> Event {
    use ferrite_abi::{
        event::Payload,
        wire::IntoBytes, //
    };
    let change = FunctionChange {
        state: U16::new(state.0),
        rsvd: [0; 2],
    };
    let mut event = Event {
        kind: U16::new(FunctionChange::KIND.0),
        ..Event::default()
    };
    event.payload[..size_of::<FunctionChange>()].copy_from_slice(change.as_bytes());
    event
}
