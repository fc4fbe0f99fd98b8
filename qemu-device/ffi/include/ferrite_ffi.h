/*
 * SPDX-License-Identifier: GPL-2.0-only
 *
 * C ABI of the Ferrite device model.
 *
 * Made by cbindgen from qemu-device/ffi. Change the Rust source and run qemu-device/ffi/header.
 */

#ifndef FERRITE_FFI_H
#define FERRITE_FFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Largest saved state that is written or read, in bytes.
 */
#define FERRITE_MAX_STATE (64 << 20)

/**
 * Kinds of what `FerriteHost::trace` takes note of, each with the meaning of its words.
 */
enum FerriteTrace {
    /**
     * A PCI function was reset: PCI function.
     */
    FERRITE_TRACE_RESET = 0,
    /**
     * An admin queue was turned on or off: PCI function, whether it runs, error.
     */
    FERRITE_TRACE_ADMIN_QUEUE,
    /**
     * A command was carried out: PCI function, opcode, tag, status.
     */
    FERRITE_TRACE_COMMAND,
    /**
     * An event was written or dropped: PCI function, kind, sequence number, whether written.
     */
    FERRITE_TRACE_EVENT,
    /**
     * A queue was created: function id, kind, index, entries.
     */
    FERRITE_TRACE_QUEUE_CREATED,
    /**
     * A queue was destroyed: function id, kind, index.
     */
    FERRITE_TRACE_QUEUE_DESTROYED,
    /**
     * A queue stopped after an error: function id, kind, index, syndrome.
     */
    FERRITE_TRACE_QUEUE_STOPPED,
    /**
     * Completions were published: function id, kind, index, tail.
     */
    FERRITE_TRACE_COMPLETIONS,
    /**
     * An interrupt was raised: PCI function, vector.
     */
    FERRITE_TRACE_INTERRUPT,
    /**
     * An injected fault took effect: kind, parameter.
     */
    FERRITE_TRACE_FAULT,
    /**
     * The number of VFs changed: number.
     */
    FERRITE_TRACE_VFS,
    /**
     * The link of the uplink changed: whether it is up.
     */
    FERRITE_TRACE_UPLINK,
    /**
     * A function changed its state: function id, state.
     */
    FERRITE_TRACE_FUNCTION,
    /**
     * A function was suspended or resumed: PCI function, level.
     */
    FERRITE_TRACE_SUSPENDED,
    /**
     * A stream was loaded or refused: PCI function, fault, tag of the record at fault.
     */
    FERRITE_TRACE_LOADED,
    /**
     * The driver did what it must not: PCI function, which mistake, value.
     */
    FERRITE_TRACE_GUEST_ERROR,
};
typedef uint32_t FerriteTrace;

/**
 * A device. Opaque to C.
 */
typedef struct FerriteDevice FerriteDevice;

/**
 * The doorbells of a device. It may outlive the device, for writes that are under way while the
 * device goes.
 */
typedef struct FerriteLatch FerriteLatch;

/**
 * Numbers of the hardware contract: identities, BARs and limits.
 */
typedef struct FerriteContract {
    /**
     * PCI vendor id.
     */
    uint16_t vendor_id;
    /**
     * PCI device id of the physical function.
     */
    uint16_t pf_device_id;
    /**
     * PCI device id of a virtual function.
     */
    uint16_t vf_device_id;
    /**
     * PCI base class and subclass.
     */
    uint16_t class_id;
    /**
     * PCI revision id.
     */
    uint8_t revision;
    /**
     * BAR of the registers.
     */
    uint8_t regs_bar;
    /**
     * BAR of the doorbell pages.
     */
    uint8_t doorbells_bar;
    /**
     * BAR of the MSI-X table, which is at its start, and the pending bits.
     */
    uint8_t msix_bar;
    /**
     * Size of the BAR of the registers.
     */
    uint32_t regs_size;
    /**
     * Size of the PF's BAR of doorbell pages.
     */
    uint32_t pf_doorbells_size;
    /**
     * Size of a VF's BAR of doorbell pages.
     */
    uint32_t vf_doorbells_size;
    /**
     * Size of the BAR of the MSI-X table and the pending bits.
     */
    uint32_t msix_size;
    /**
     * Offset of the MSI-X pending bits in their BAR.
     */
    uint32_t msix_pba_offset;
    /**
     * Largest number of VFs.
     */
    uint16_t max_vfs;
} FerriteContract;

/**
 * How a device is set up: the properties of the same names.
 */
typedef struct FerriteConfig {
    /**
     * MAC address of the PF.
     */
    uint8_t mac[6];
    /**
     * Largest number of TX queues, and of RX queues, of each function.
     */
    uint16_t num_queues;
    /**
     * Largest number of VFs.
     */
    uint16_t max_vfs;
    /**
     * Largest number of SFs.
     */
    uint16_t max_sfs;
    /**
     * MSI-X vectors of the PF.
     */
    uint16_t pf_vectors;
    /**
     * MSI-X vectors that each VF comes with.
     */
    uint16_t vf_vectors;
    /**
     * Whether VFs can be suspended and resumed by registers of their own.
     */
    bool vf_controls;
    /**
     * Whether faults can be injected.
     */
    bool faults;
    /**
     * Faults that are armed from the start, or NULL.
     */
    const char *fault_script;
    /**
     * Serial number of the board, or NULL for one made of the MAC address.
     */
    const char *serial;
    /**
     * Identity of this very device.
     */
    uint8_t uuid[16];
} FerriteConfig;

/**
 * What the device asks of the machine. `opaque` is the first argument of every callback. A PCI
 * function is 0 for the PF, `1 + i` for VF `i`; it may be one that does not exist or is off, whose
 * accesses fail and whose interrupts are lost.
 *
 * A callback that calls back into the device is refused, see `ferrite_device_new`.
 */
typedef struct FerriteHost {
    /**
     * Passed to every callback.
     */
    void *opaque;
    /**
     * Reads `len` bytes of memory at `addr` into `buf`. Returns whether it could.
     */
    bool (*dma_read)(void *opaque,
                     uint16_t function,
                     uint64_t addr,
                     uint8_t *buf,
                     size_t len);
    /**
     * Writes `len` bytes of `buf` to memory at `addr`. Returns whether it could.
     */
    bool (*dma_write)(void *opaque,
                      uint16_t function,
                      uint64_t addr,
                      const uint8_t *buf,
                      size_t len);
    /**
     * Reads an aligned little-endian word of memory in one access, with acquire semantics.
     * Returns whether it could.
     */
    bool (*dma_load32)(void *opaque,
                       uint16_t function,
                       uint64_t addr,
                       uint32_t *value);
    /**
     * Writes an aligned little-endian word of memory in one access, with release semantics and a
     * full barrier behind it. Returns whether it could.
     */
    bool (*dma_store32)(void *opaque,
                        uint16_t function,
                        uint64_t addr,
                        uint32_t value);
    /**
     * Raises an MSI-X vector.
     */
    void (*raise)(void *opaque,
                  uint16_t function,
                  uint16_t vector);
    /**
     * Returns whether an MSI-X vector was raised and is pending, as it is masked.
     */
    bool (*is_pending)(void *opaque,
                       uint16_t function,
                       uint16_t vector);
    /**
     * Changes the size of the MSI-X table that the capability of a VF tells.
     */
    void (*set_vectors)(void *opaque,
                        uint16_t function,
                        uint16_t vectors);
    /**
     * Reports an error of a PCI function to the bus (AER): 0 correctable, 1 not fatal, 2 fatal.
     */
    void (*report_error)(void *opaque,
                         uint16_t function,
                         uint32_t severity);
    /**
     * Sends a frame through the uplink.
     */
    void (*uplink_send)(void *opaque,
                        const uint8_t *frame,
                        size_t len);
    /**
     * Tells that a frame that was refused by `ferrite_device_receive` would be taken now.
     */
    void (*uplink_ready)(void *opaque);
    /**
     * Returns the time in nanoseconds.
     */
    uint64_t (*now)(void *opaque);
    /**
     * Asks for `ferrite_device_timer` at this time, and at no other any more.
     */
    void (*set_timer)(void *opaque,
                      uint64_t at);
    /**
     * Takes back what was asked with `set_timer`.
     */
    void (*cancel_timer)(void *opaque);
    /**
     * Asks for `ferrite_device_run` soon.
     */
    void (*schedule)(void *opaque);
    /**
     * Takes note of what happened: a `FerriteTrace` and its four words.
     */
    void (*trace)(void *opaque,
                  uint32_t kind,
                  const uint64_t *words);
} FerriteHost;

/**
 * Returns the numbers of the hardware contract.
 */
const struct FerriteContract *ferrite_contract(void);

/**
 * Makes a device, for `ferrite_device_free` to free. `host` is copied. Where that cannot be done,
 * returns NULL and writes the reason to `error`, which has room for `error_size` bytes.
 *
 * While a call is inside of the device, every other call but `ferrite_latch_ring` is refused:
 * from callbacks, that is, and from other threads.
 *
 * # Safety
 *
 * `config` and `host` must be valid for reads, the strings in `config` must be NULL or end with a
 * NUL, and `error` must be valid for writes of `error_size` bytes. Until the device is freed, the
 * callbacks of `host` must keep to rule 2 of this crate.
 */
struct FerriteDevice *ferrite_device_new(const struct FerriteConfig *config,
                                         const struct FerriteHost *host,
                                         char *error,
                                         size_t error_size);

/**
 * Frees a device. NULL is ignored.
 *
 * # Safety
 *
 * `device` must be NULL or valid, must not be used any more, and no call may be inside of it.
 */
void ferrite_device_free(struct FerriteDevice *device);

/**
 * Disarms all faults and arms those of a script, which a reset of the whole device arms, too. Where
 * that cannot be done, returns false, changes nothing, and writes the reason to `error`, which has
 * room for `error_size` bytes.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate), `script` must be NULL or end with a NUL, and
 * `error` must be valid for writes of `error_size` bytes.
 */
bool ferrite_device_set_fault_script(const struct FerriteDevice *device,
                                     const char *script,
                                     char *error,
                                     size_t error_size);

/**
 * Reads `size` bytes at `offset` of the registers of a PCI function. All ones if refused.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
uint64_t ferrite_device_reg_read(const struct FerriteDevice *device,
                                 uint16_t function,
                                 uint64_t offset,
                                 uint8_t size);

/**
 * Writes `size` bytes at `offset` of the registers of a PCI function. Nothing is written if
 * refused.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
void ferrite_device_reg_write(const struct FerriteDevice *device,
                              uint16_t function,
                              uint64_t offset,
                              uint8_t size,
                              uint64_t value);

/**
 * Returns the largest number of MSI-X vectors that a VF may be given. 0 if refused.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
uint16_t ferrite_device_max_vf_vectors(const struct FerriteDevice *device);

/**
 * Lets the device work. Returns whether there is more to do, also if refused.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
bool ferrite_device_run(const struct FerriteDevice *device,
                        uint32_t budget);

/**
 * Tells the device that the time it asked for has come. Calling it early does no harm.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
void ferrite_device_timer(const struct FerriteDevice *device);

/**
 * Returns whether the device takes a frame from the uplink now. It does not if refused.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
bool ferrite_device_can_receive(const struct FerriteDevice *device);

/**
 * Gives the device a frame from the uplink. Returns whether it was taken, if only to be dropped;
 * otherwise, also if refused, it may be given again later.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate), and `frame` valid for reads of `len` bytes.
 */
bool ferrite_device_receive(const struct FerriteDevice *device,
                            const uint8_t *frame,
                            size_t len);

/**
 * Tells whether the uplink is up. Refused calls are lost.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
void ferrite_device_set_uplink(const struct FerriteDevice *device,
                               bool up);

/**
 * Resets a PCI function (FLR). Refused calls are lost.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
void ferrite_device_reset_function(const struct FerriteDevice *device,
                                   uint16_t function);

/**
 * Resets everything to what it is after power-on. Refused calls are lost.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
void ferrite_device_reset(const struct FerriteDevice *device);

/**
 * Tells how many VFs are enabled. Refused calls are lost.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
void ferrite_device_set_vfs(const struct FerriteDevice *device,
                            uint16_t count);

/**
 * Tells whether a PCI function may do DMA and raise interrupts. Refused calls are lost.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
void ferrite_device_set_bus_master(const struct FerriteDevice *device,
                                   uint16_t function,
                                   bool enabled);

/**
 * Saves the state of the device: calls `take` once with it. Returns whether it did; a state of
 * more than `FERRITE_MAX_STATE` bytes is not saved, nor is any if refused.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate). `take` must not use the bytes after it returns.
 */
bool ferrite_device_save(const struct FerriteDevice *device,
                         void (*take)(void *opaque,
                                      const uint8_t *state,
                                      size_t len),
                         void *opaque);

/**
 * Loads a state of the device. Where that cannot be done, returns false, leaves the device as it
 * was, and writes the reason to `error`, which has room for `error_size` bytes.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate), `state` valid for reads of `len` bytes, and
 * `error` valid for writes of `error_size` bytes.
 */
bool ferrite_device_load(const struct FerriteDevice *device,
                         const uint8_t *state,
                         size_t len,
                         char *error,
                         size_t error_size);

/**
 * Returns the doorbells of a device, for `ferrite_latch_free` to free.
 *
 * # Safety
 *
 * `device` must be valid (rule 1 of this crate).
 */
struct FerriteLatch *ferrite_device_latch(const struct FerriteDevice *device);

/**
 * Frees what `ferrite_device_latch` returned. NULL is ignored.
 *
 * # Safety
 *
 * `latch` must be NULL or valid, and must not be used any more.
 */
void ferrite_latch_free(struct FerriteLatch *latch);

/**
 * Notes a write of `size` bytes of `value` at `offset` in the doorbell BAR of a PCI function: 0 is the
 * PF, `1 + i` is VF `i`. Returns whether the device has to be scheduled to run. Any thread may call
 * this at any time.
 *
 * # Safety
 *
 * `latch` must be valid.
 */
bool ferrite_latch_ring(const struct FerriteLatch *latch,
                        uint16_t function,
                        uint64_t offset,
                        uint64_t value,
                        uint8_t size);

#endif  /* FERRITE_FFI_H */
