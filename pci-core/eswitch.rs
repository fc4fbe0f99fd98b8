// SPDX-License-Identifier: GPL-2.0

//! The mode of the embedded switch, and the representors that there are in switchdev mode.

use ferrite_abi::{
    cmd::{
        EswitchMode,
        QueryEswitch,
        SetEswitchMode, //
    },
    ids::FunctionId,
    wire::U16, //
};
use ferrite_aux::CmdError;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    devlink::{
        self,
        ExtAck,
        Locked,
        Port, //
    },
    gate::Inside, //
};

use crate::{
    auxdev::{
        Published,
        Role, //
    },
    board::Board,
    functions::Functions,
    port::failed,
    routes::Handed, //
};

/// The representor of a function: a function of its own, which the network stack drives.
///
/// Dropped in this order: its device, then what clients were handed.
pub(crate) struct Representor {
    _device: Published,
    _handed: Handed,
}

impl Representor {
    /// Makes the device of `function`'s representor, whose net device belongs to `port`.
    pub(crate) fn new(
        board: &Inside<'_, Board>,
        function: FunctionId,
        port: Arc<Port>,
    ) -> Result<Self> {
        let id = function.representor().ok_or(EINVAL)?;
        let handed = board.hand_out(board.device(), id, Some(port))?;
        Ok(Self {
            _device: Published::new(handed.owner(), board.device(), Role::Representor)?,
            _handed: handed,
        })
    }
}

/// Has the switch forward in a mode.
pub(crate) fn set_mode(board: &Board, mode: EswitchMode) -> Result<(), CmdError> {
    let command = SetEswitchMode {
        mode: U16::new(mode.0),
        rsvd: [0; 2],
    };
    board.admin.send(board.own(), command)
}

impl Functions {
    /// Returns the mode of the switch.
    pub(crate) fn mode(&self) -> devlink::EswitchMode {
        if self.is_switchdev() {
            devlink::EswitchMode::Switchdev
        } else {
            devlink::EswitchMode::Legacy
        }
    }

    /// Changes the mode of the switch. The VFs of `sriov_numvfs` get ports in switchdev mode, and
    /// lose them; functions that users added ports for are in the way of legacy mode, and so are rules
    /// that the switch carries out.
    pub(crate) fn set_mode(
        self: &Arc<Self>,
        mode: devlink::EswitchMode,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        if mode == self.mode() {
            return Ok(());
        }
        let board = self.board().enter().ok_or(ENODEV)?;
        match mode {
            devlink::EswitchMode::Switchdev => {
                set_mode(&board, EswitchMode::SWITCHDEV)
                    .map_err(|error| failed(extack, "cannot set the mode", error))?;
                self.set_switchdev(true);
                self.add_vf_ports(&board, locked, extack).inspect_err(|_| {
                    self.remove_vf_ports();
                    self.set_switchdev(false);
                    let _ = set_mode(&board, EswitchMode::LEGACY);
                })
            }
            devlink::EswitchMode::Legacy => {
                let (sfs, vfs) = self.added_by_hand();
                if sfs + vfs > 0 {
                    extack.set(fmt!("delete the {sfs} pcisf and {vfs} pcivf ports first"));
                    return Err(EBUSY);
                }
                let rules = board
                    .admin
                    .send(board.own(), QueryEswitch {})
                    .map_err(|error| failed(extack, "cannot ask for rules", error))?
                    .rules
                    .get();
                if rules > 0 {
                    extack.set(fmt!(
                        "the switch carries out {rules} rules of tc: remove them first"
                    ));
                    return Err(EBUSY);
                }
                self.remove_vf_ports();
                match set_mode(&board, EswitchMode::LEGACY) {
                    Ok(()) => {
                        self.set_switchdev(false);
                        Ok(())
                    }
                    Err(error) => {
                        // The switch is as it was, and so are the ports to be.
                        let _ = self.add_vf_ports(&board, locked, extack);
                        Err(failed(extack, "cannot set the mode", error))
                    }
                }
            }
        }
    }
}
