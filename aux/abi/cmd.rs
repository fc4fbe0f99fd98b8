// SPDX-License-Identifier: GPL-2.0

//! The admin commands, each a documented pair: what is asked (`CreateQueue`) and, where there is
//! more to it than a status, what is answered (`CreateQueueDone`).

mod crash;
mod device;
mod dirty_log;
mod eswitch;
mod fault;
mod firmware;
mod function;
mod migration;
mod port;
mod queue;
mod rate;
mod steering;
mod trap;
mod virtio;

pub use crash::*;
pub use device::*;
pub use dirty_log::*;
pub use eswitch::*;
pub use fault::*;
pub use firmware::*;
pub use function::*;
pub use migration::*;
pub use port::*;
pub use queue::*;
pub use rate::*;
pub use steering::*;
pub use trap::*;
pub use virtio::*;

use crate::admin::CommandInfo;

/// Implements [`Command`](crate::admin::Command) for a struct of parameters.
macro_rules! command {
    ($name:ident = $opcode:ident) => { command!($name = $opcode, done (), none [u8; 0], any); };
    ($name:ident = $opcode:ident, done $done:ty, none $data:ty, $who:ident) => {
        command!(@ $name, $opcode, $done, None, $data, $who);
    };
    ($name:ident = $opcode:ident, done $done:ty, to_device $data:ty, $who:ident) => {
        command!(@ $name, $opcode, $done, ToDevice, $data, $who);
    };
    ($name:ident = $opcode:ident, done $done:ty, from_device $data:ty, $who:ident) => {
        command!(@ $name, $opcode, $done, FromDevice, $data, $who);
    };
    (@ $name:ident, $opcode:ident, $done:ty, $direction:ident, $data:ty, $who:ident) => {
        impl crate::admin::Command for $name {
            const OPCODE: crate::admin::Opcode = crate::admin::Opcode::$opcode;
            type Done = $done;
            type Data = $data;
            const DATA: crate::admin::DataDirection = crate::admin::DataDirection::$direction;
            const PF_ONLY: bool = command!(@ $who);
        }
    };
    (@ any) => { false };
    (@ pf) => { true };
}
use command;

/// Hands the names of all commands in [`cmd`](crate::cmd), by ascending opcode, to the macro `$then`,
/// behind the tokens that are given for it.
#[macro_export]
macro_rules! with_commands {
    ($then:ident! $($more:tt)*) => {
        $then! {
            $($more)*
            Echo,
            Identify,
            QueryFunction,
            CreateEventQueue,
            DestroyEventQueue,
            QueryClock,
            CopyMemory,
            CreateQueue,
            DestroyQueue,
            QueryQueue,
            ModifyQueue,
            QueryLink,
            EnablePort,
            SetMac,
            SetMtu,
            SetRxMode,
            QueryStats,
            SetRss,
            RemoveRss,
            SetFilter,
            RemoveFilter,
            QuerySteering,
            QueryFrames,
            SetLoopback,
            CreateSf,
            DestroySf,
            ConfigureFunction,
            QueryFunctionConfig,
            SetFunctionState,
            AttachFunction,
            SetVfPolicy,
            SetEswitchMode,
            QueryEswitch,
            AddRule,
            RemoveRule,
            QueryRule,
            CreateRateNode,
            DestroyRateNode,
            SetRate,
            QueryRate,
            QueryVirtio,
            CreateVirtio,
            DestroyVirtio,
            ModifyVirtio,
            QueryVirtioState,
            SetVirtioFeatures,
            SetVirtioStatus,
            ReadVirtioConfig,
            EnableVirtqueue,
            DisableVirtqueue,
            QueryVirtqueue,
            SetVirtqueueVector,
            QueryVirtqueueStats,
            SetVirtioGroup,
            MapVirtio,
            UnmapVirtio,
            SwitchVirtioMap,
            SuspendVirtio,
            QueryMigration,
            SuspendFunction,
            ResumeFunction,
            BeginSave,
            ReadSave,
            QuerySave,
            EndSave,
            BeginLoad,
            WriteLoad,
            EndLoad,
            StartDirtyLog,
            ReadDirtyLog,
            StopDirtyLog,
            InjectFault,
            ClearFaults,
            QueryFirmware,
            BeginFlash,
            WriteFlash,
            EndFlash,
            ActivateFirmware,
            TestFlash,
            SetTrap,
            SetTrapPolicer,
            QueryTraps,
            ReadTrapped,
            ReadCrash,
        }
    };
}

macro_rules! table {
    ($($name:ident),* $(,)?) => {
        /// Every command, by ascending opcode.
        pub const COMMANDS: &[CommandInfo] = &[$( CommandInfo::of::<$name>(stringify!($name)) ),*];
    };
}
with_commands!(table!);
