// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about virtio functions.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CreateVirtio,
    DestroyVirtio,
    DisableVirtqueue,
    EnableVirtqueue,
    MapVirtio,
    ModifyVirtio,
    QueryVirtio,
    QueryVirtioDone,
    QueryVirtioState,
    QueryVirtqueue,
    QueryVirtqueueStats,
    ReadVirtioConfig,
    ReadVirtioConfigDone,
    SetVirtioFeatures,
    SetVirtioGroup,
    SetVirtioStatus,
    SetVirtqueueVector,
    SuspendVirtio,
    SwitchVirtioMap,
    UnmapVirtio,
    VirtioConfig,
    VirtioFields,
    VirtioMap,
    VirtioMapping,
    VirtioMappings,
    VirtioStage,
    VirtioState,
    VirtqueueState,
    VirtqueueStats,
    VIRTIO_ADDRESS_SPACES,
    VIRTIO_MAPPINGS,
    VIRTIO_MAX_SIZE,
    VIRTIO_NO_VECTOR, //
};
use ferrite_abi::regs::Features;
use ferrite_abi::wire::{
    IntoBytes,
    U16,
    U32,
    U64, //
};

use super::{
    zero,
    Call,
    Handler,
    Named, //
};
use crate::mac::Mac;
use crate::virtio::spec::NetConfig;
use crate::virtio::{
    Virtio,
    Virtqueue,
    FEATURES,
    MAX_MAPPINGS, //
};

impl Call<'_> {
    /// Returns the virtio-net device that the function is.
    fn virtio(&mut self) -> Result<&mut Virtio, Status> {
        self.device.virtio_mut(self.target).ok_or(Status::BAD_STATE)
    }

    /// Returns a queue of it that is ready.
    fn virtqueue(&mut self, index: U16) -> Result<&mut Virtqueue, Status> {
        let virtio = self.virtio()?;
        virtio.role(index.get()).ok_or(Status::INVALID_FIELD)?;
        virtio.queue_mut(index.get()).ok_or(Status::BAD_STATE)
    }

    /// Checks the vector of a virtqueue.
    fn check_virtqueue_vector(&self, vector: U16) -> Result<(), Status> {
        match vector.get() {
            VIRTIO_NO_VECTOR => Ok(()),
            vector => self.check_vector(vector),
        }
    }
}

impl Handler for QueryVirtio {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::VirtioCapable;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QueryVirtioDone, Status> {
        Ok(QueryVirtioDone {
            features: U64::new(FEATURES),
            max_pairs: U16::new(Virtio::most_pairs(call.function()?.tx.len())),
            max_size: U16::new(VIRTIO_MAX_SIZE),
            // CAST: a small number.
            max_mappings: U32::new(MAX_MAPPINGS as u32),
            address_spaces: U16::new(VIRTIO_ADDRESS_SPACES),
            config_size: U16::new(size_of::<NetConfig>() as u16),
        })
    }
}

impl Handler for CreateVirtio {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::VirtioCapable;
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let function = call.function()?;
        if function.virtio.is_some() || function.queues().next().is_some() {
            return Err(Status::IN_USE);
        }
        let most = Virtio::most_pairs(function.tx.len());
        let virtio = Virtio::new(self, function.port.mac, most).ok_or(Status::INVALID_FIELD)?;
        call.device.create_virtio(call.target, virtio);
        Ok(())
    }
}

impl Handler for DestroyVirtio {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device.destroy_virtio(call.target);
        Ok(())
    }
}

impl Handler for ModifyVirtio {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let mask = VirtioFields(self.mask.get());
        let known = VirtioFields::MAC.with(VirtioFields::ANNOUNCE);
        let (mac, sets_mac) = (Mac(self.mac), mask.contains(VirtioFields::MAC));
        let good = if sets_mac {
            mac.is_station()
        } else {
            zero(&self.mac)
        };
        if !known.contains(mask) || !good {
            return Err(Status::INVALID_FIELD);
        }
        if mask.contains(VirtioFields::ANNOUNCE) {
            call.device.ask_for_announcement(call.target)?;
        }
        if sets_mac {
            call.device.set_virtio_mac(call.target, mac);
        }
        call.device.virtio_config_changed(call.host, call.target);
        Ok(())
    }
}

impl Handler for QueryVirtioState {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<VirtioState, Status> {
        Ok(call.virtio()?.state())
    }
}

impl Handler for SetVirtioFeatures {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device
            .set_virtio_features(call.target, self.features.get())
    }
}

impl Handler for SetVirtioStatus {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device.set_virtio_status(call.target, self.status)
    }
}

impl Handler for ReadVirtioConfig {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn handle(
        &self,
        call: &mut Call<'_>,
        data: &mut VirtioConfig,
    ) -> Result<ReadVirtioConfigDone, Status> {
        let config = call.device.virtio_config(call.target);
        let (generation, config) = config.ok_or(Status::BAD_STATE)?;
        data.bytes[..size_of::<NetConfig>()].copy_from_slice(config.as_bytes());
        Ok(ReadVirtioConfigDone {
            generation: U32::new(generation),
        })
    }
}

impl Handler for EnableVirtqueue {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.check_virtqueue_vector(self.vector)?;
        call.device.enable_virtqueue(call.target, self)
    }
}

impl Handler for DisableVirtqueue {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<VirtqueueState, Status> {
        call.virtqueue(self.index)?;
        call.device
            .disable_virtqueue(call.host, call.target, self.index.get())
    }
}

impl Handler for QueryVirtqueue {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<VirtqueueState, Status> {
        match call.virtqueue(self.index) {
            Ok(queue) => Ok(queue.state()),
            Err(Status::BAD_STATE) => Ok(VirtqueueState::default()),
            Err(status) => Err(status),
        }
    }
}

impl Handler for SetVirtqueueVector {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.check_virtqueue_vector(self.vector)?;
        call.virtqueue(self.index)?.set_vector(self.vector.get());
        Ok(())
    }
}

impl Handler for QueryVirtqueueStats {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, data: &mut VirtqueueStats) -> Result<(), Status> {
        *data = call.virtqueue(self.index)?.stats;
        Ok(())
    }
}

impl Handler for SetVirtioGroup {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.virtio()?.set_group(self.group, self.space)
    }
}

impl Handler for MapVirtio {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn least_data(&self) -> usize {
        let count = usize::from(self.count.get()).min(VIRTIO_MAPPINGS);
        count * size_of::<VirtioMapping>()
    }

    fn handle(&self, call: &mut Call<'_>, data: &mut VirtioMappings) -> Result<(), Status> {
        let mappings = data.entries.get(..usize::from(self.count.get()));
        let mappings = mappings.ok_or(Status::INVALID_FIELD)?;
        let stage = VirtioStage(self.stage);
        call.virtio()?.space_mut(self.space)?.map(mappings, stage)
    }
}

impl Handler for UnmapVirtio {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let (iova, length) = (self.iova.get(), self.length.get());
        call.virtio()?.space_mut(self.space)?.unmap(iova, length)
    }
}

impl Handler for SwitchVirtioMap {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let map = VirtioMap(self.map.get());
        call.virtio()?.space_mut(self.space)?.switch(map)
    }
}

impl Handler for SuspendVirtio {
    const NEEDS: Features = Features::VIRTIO;
    const NAMES: Named = Named::Virtio;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let suspend = match self.suspend {
            0 => false,
            1 => true,
            _ => return Err(Status::INVALID_FIELD),
        };
        call.device.suspend_virtio(call.host, call.target, suspend);
        Ok(())
    }
}
