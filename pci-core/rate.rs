// SPDX-License-Identifier: GPL-2.0

//! The rates at which VFs and SFs send: users make a tree of nodes, and the device enforces it.

use ferrite_abi::{
    cmd::{
        CreateRateNode,
        DestroyRateNode,
        Rate,
        SetRate,
        RATE_ROOT, //
    },
    ids::FunctionId,
    wire::U16, //
};
use ferrite_aux::CmdError;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};
use kernel_ext::devlink::{
    ExtAck,
    Locked,
    Member,
    RateOps,
    Setting, //
};

use crate::{
    board::Board,
    devlink::Handle,
    logic::rate::{
        changed,
        is_none,
        Change, //
    },
    port::failed, //
};

/// Something with a rate: a node that a user made, or the leaf of a function.
///
/// It changes with the lock of the devlink instance held.
#[pin_data]
pub(crate) struct Limited {
    /// Whose leaf it is, if it is one.
    function: Option<Atomic<u32>>,
    /// Held for moments only, and one at a time.
    #[pin]
    state: Mutex<State>,
}

struct State {
    /// What the device calls it.
    node: u16,
    rate: Rate,
    parent: Option<Arc<Limited>>,
}

impl Limited {
    fn new(function: Option<FunctionId>, node: u16) -> Result<Arc<Self>> {
        let rate = Rate::default();
        let parent = None;
        let function = function.map(|id| Atomic::new(id.0.into()));
        Arc::pin_init(
            pin_init!(Self {
                function,
                state <- new_mutex!(State { node, rate, parent }, "ferrite_rate"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the leaf of a function, which has no rates yet and hangs from no node.
    pub(crate) fn leaf(function: FunctionId) -> Result<Arc<Self>> {
        Self::new(Some(function), RATE_ROOT)
    }

    fn node(&self) -> u16 {
        self.state.lock().node
    }

    fn look(&self) -> (Rate, Option<Arc<Self>>) {
        let state = self.state.lock();
        (state.rate, state.parent.clone())
    }

    fn keep(&self, rate: Rate, parent: Option<Arc<Self>>) {
        let before = {
            let mut state = self.state.lock();
            state.rate = rate;
            core::mem::replace(&mut state.parent, parent)
        };
        drop(before);
    }

    /// Has the device enforce something.
    fn order(
        &self,
        board: &Board,
        rate: &Rate,
        parent: Option<&Arc<Self>>,
    ) -> Result<(), CmdError> {
        let command = SetRate {
            node: U16::new(self.node()),
            parent: U16::new(parent.map_or(RATE_ROOT, |parent| parent.node())),
        };
        let about = match &self.function {
            // CAST: it is one of 16 bits.
            Some(id) => FunctionId(id.load(Relaxed) as u16),
            None => board.own(),
        };
        board.admin.send_with(about, command, rate)
    }

    /// Takes note of the id that the function of a leaf has after a reset.
    pub(crate) fn rename(&self, function: FunctionId) {
        if let Some(id) = &self.function {
            id.store(function.0.into(), Relaxed);
        }
    }

    /// Has the device enforce anew what it forgot in a reset.
    pub(crate) fn order_again(&self, board: &Board) -> Result<(), CmdError> {
        let (rate, parent) = self.look();
        if is_none(&rate) && parent.is_none() {
            return Ok(());
        }
        self.order(board, &rate, parent.as_ref())
    }

    /// Takes all limits away, for the next user of the function.
    pub(crate) fn free(&self, board: &Board) -> Result<(), CmdError> {
        let (rate, parent) = self.look();
        if is_none(&rate) && parent.is_none() {
            return Ok(());
        }
        self.order(board, &Rate::default(), None)?;
        self.keep(Rate::default(), None);
        Ok(())
    }
}

/// The nodes of a PF.
#[pin_data]
pub(crate) struct Nodes {
    /// Held for moments only.
    #[pin]
    list: Mutex<KVec<Arc<Limited>>>,
}

impl Nodes {
    /// Returns an empty set.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(KVec::new(), "ferrite_rate_nodes"),
        })
    }

    fn remember(&self, node: Arc<Limited>) -> Result {
        Ok(self.list.lock().push(node, GFP_KERNEL)?)
    }

    fn forget(&self, node: &Limited) {
        self.list
            .lock()
            .retain(|other| !core::ptr::eq(&raw const **other, node));
    }

    fn get(&self, index: usize) -> Option<Arc<Limited>> {
        self.list.lock().get(index).cloned()
    }

    fn all(&self) -> impl Iterator<Item = Arc<Limited>> + '_ {
        let mut next = 0..;
        core::iter::from_fn(move || self.get(next.next()?))
    }

    /// Makes the nodes anew that the device forgot in a reset; the leaves are still to be hung up.
    pub(crate) fn after_reset(&self, board: &Board) -> Result<(), CmdError> {
        for node in self.all() {
            let done = board.admin.send(board.own(), CreateRateNode {})?;
            node.state.lock().node = done.node.get();
        }
        // Now that each has its parent.
        for node in self.all() {
            node.order_again(board)?;
        }
        Ok(())
    }
}

impl RateOps for Handle {
    type Leaf = Limited;
    type Node = Limited;

    fn rate_node_new(&self, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result<Arc<Limited>> {
        let nodes = self.functions(extack)?.nodes();
        let board = self.board(extack)?;
        let done = board
            .admin
            .send(board.own(), CreateRateNode {})
            .map_err(|error| failed(extack, "the device does not make a node", error))?;
        let id = done.node.get();
        let made = Limited::new(None, id).and_then(|node| {
            nodes.remember(node.clone())?;
            Ok(node)
        });
        made.inspect_err(|_| {
            let node = U16::new(id);
            let rsvd = [0; 2];
            // If it fails, that is in the log, and the node idles until the next reset.
            let _ = board
                .admin
                .send(board.own(), DestroyRateNode { node, rsvd });
        })
    }

    fn rate_node_del(
        &self,
        node: &Limited,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        self.functions(extack)?.nodes().forget(node);
        let board = self.board(extack)?;
        let command = DestroyRateNode {
            node: U16::new(node.node()),
            rsvd: [0; 2],
        };
        board
            .admin
            .send(board.own(), command)
            .map_err(|error| failed(extack, "the device does not end the node", error))
    }

    fn rate_set(
        &self,
        member: Member<Limited, Limited>,
        setting: Setting<Limited>,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let (Member::Leaf(of) | Member::Node(of)) = member;
        let (rate, parent) = of.look();
        let change = match setting {
            Setting::Parent(parent) => Err(parent),
            Setting::TxShare(share) => Ok(Change::Share(share)),
            Setting::TxMax(max) => Ok(Change::Max(max)),
            Setting::TxPriority(priority) => Ok(Change::Priority(priority)),
            Setting::TxWeight(weight) => Ok(Change::Weight(weight)),
            Setting::TcBw(shares) => Ok(Change::Classes(shares)),
        };
        let (rate, parent) = match change {
            Err(parent) => (rate, parent),
            Ok(change) => {
                let rate = changed(&rate, change).map_err(|bad| {
                    extack.set(fmt!("{bad}"));
                    EINVAL
                })?;
                (rate, parent)
            }
        };
        let board = self.board(extack)?;
        of.order(&board, &rate, parent.as_ref())
            .map_err(|error| failed(extack, "the device does not take the rate", error))?;
        of.keep(rate, parent);
        Ok(())
    }
}
