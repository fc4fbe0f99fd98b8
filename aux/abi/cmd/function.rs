// SPDX-License-Identifier: GPL-2.0

//! Commands by which the PF provisions functions: VFs and SFs come, are configured, activated,
//! deactivated and go. The function that is meant is named in the submission.

use super::command;
use crate::wire::*;

/// Provisions an SF, which is then inactive and has a MAC address derived from that of the PF.
///
/// `NO_RESOURCE` if there are as many SFs as the device can have.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateSf {
    /// Number that users know it by. The device keeps it and gives it no meaning.
    pub sfnum: U32,
}
layout!(CreateSf: 4 { sfnum @ 0 });
command!(CreateSf = CREATE_SF, done CreateSfDone, none [u8; 0], pf);

/// Answer to [`CreateSf`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateSfDone {
    /// [`FunctionId`](crate::ids::FunctionId) of the SF.
    pub function: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(CreateSfDone: 4 { function @ 0 });

/// Ends an SF. Its id names nothing until [`CreateSf`] gives it out again, which may be at once
/// after the completion.
///
/// `BAD_STATE` unless it is inactive.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DestroySf {}
command!(DestroySf = DESTROY_SF, done (), none [u8; 0], pf);

codes! {
    /// Which fields of [`ConfigureFunction`] count.
    pub struct FunctionFields(u16) {
        /// `mac`.
        MAC = 1 << 0;
        /// `caps`.
        CAPS = 1 << 1;
        /// `max_eqs`.
        MAX_EQS = 1 << 2;
        /// `vectors`; VFs only.
        VECTORS = 1 << 3;
        /// `vlan`.
        VLAN = 1 << 4;
    }
}

codes! {
    /// What a provisioned function may do.
    pub struct FunctionCaps(u16) {
        /// It can be suspended, saved and loaded. VFs only.
        MIGRATABLE = 1 << 0;
        /// RDMA over converged Ethernet. The device keeps the bit for drivers; it has no RDMA.
        ROCE = 1 << 1;
        /// It may send from any address, and be promiscuous.
        TRUSTED = 1 << 2;
        /// Its frames are dropped unless sent from its own address.
        SPOOF_CHECK = 1 << 3;
        /// Its link is up, whatever that of the uplink is.
        LINK_UP = 1 << 4;
        /// Its link is down, whatever that of the uplink is, and nothing passes.
        LINK_DOWN = 1 << 5;
    }
}

/// Configures a VF or SF. What is not named in `mask` stays as it is. All takes effect at once but
/// `mac` and `max_eqs` of a function in use, which count from its next reset.
///
/// `INVALID_FIELD` for a multicast or zero address, capabilities that such a function cannot have,
/// or a number out of range; nothing is changed then. `BAD_STATE` for `vectors` of a VF that is in
/// use. `NO_RESOURCE` if the device has no more vectors to give.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConfigureFunction {
    /// [`FunctionFields`].
    pub mask: U16,
    /// MAC address that the function is provisioned with.
    pub mac: [u8; 6],
    /// [`FunctionCaps`].
    pub caps: U16,
    /// Largest number of completion vectors that its data path may use, 1 at least. It has as many
    /// queue pairs at most.
    pub max_eqs: U16,
    /// Entries of its MSI-X table, that of the admin queue among them.
    pub vectors: U16,
    /// VLAN that it is put into in legacy mode, by number; 0 for none.
    pub vlan: U16,
}
layout!(ConfigureFunction: 16 {
    mask @ 0, mac @ 2, caps @ 8, max_eqs @ 10, vectors @ 12, vlan @ 14,
});
command!(ConfigureFunction = CONFIGURE_FUNCTION, done (), none [u8; 0], pf);

/// Tells how a VF or SF is provisioned.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryFunctionConfig {}
command!(
    QueryFunctionConfig = QUERY_FUNCTION_CONFIG,
    done FunctionConfig,
    none [u8; 0],
    pf
);

/// Answer to [`QueryFunctionConfig`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FunctionConfig {
    /// As in [`ConfigureFunction`].
    pub mac: [u8; 6],
    /// As in [`ConfigureFunction`].
    pub caps: U16,
    /// As in [`ConfigureFunction`].
    pub max_eqs: U16,
    /// As in [`ConfigureFunction`]; 0 for an SF.
    pub vectors: U16,
    /// As in [`ConfigureFunction`].
    pub vlan: U16,
    /// [`FunctionState`](crate::event::FunctionState).
    pub state: U16,
    /// As in [`CreateSf`]; 0 for a VF.
    pub sfnum: U32,
}
layout!(FunctionConfig: 20 {
    mac @ 0, caps @ 6, max_eqs @ 8, vectors @ 10, vlan @ 12, state @ 14, sfnum @ 16,
});

/// Activates or deactivates a VF or SF.
///
/// Deactivating takes all queues of the function away, whoever made them; none of their memory is
/// touched after the completion. A VF that is inactive reads as not ready.
///
/// `INVALID_FIELD` for another state than these two. Nothing happens if it is in the state
/// already.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetFunctionState {
    /// [`FunctionState`](crate::event::FunctionState): `INACTIVE` or `ACTIVE`.
    pub state: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(SetFunctionState: 4 { state @ 0 });
command!(SetFunctionState = SET_FUNCTION_STATE, done (), none [u8; 0], pf);

/// Takes an active SF into use, or lets go of it, which resets it: its queues are gone, its port is
/// as it was provisioned. A VF is in use while its admin queue is on, a representor always.
///
/// `BAD_STATE` to take an SF that is not active, or to let go of one that is not in use.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AttachFunction {
    /// 1 takes, 0 lets go.
    pub attach: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(AttachFunction: 4 { attach @ 0 });
command!(AttachFunction = ATTACH_FUNCTION, done (), none [u8; 0], pf);

/// Sets the state in which VFs come when SR-IOV is enabled. It is `ACTIVE` after a reset of the PF.
///
/// `INVALID_FIELD` for another state than `INACTIVE` and `ACTIVE`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetVfPolicy {
    /// [`FunctionState`](crate::event::FunctionState).
    pub state: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(SetVfPolicy: 4 { state @ 0 });
command!(SetVfPolicy = SET_VF_POLICY, done (), none [u8; 0], pf);
