// SPDX-License-Identifier: GPL-2.0

//! Golden bytes of the commands about functions, the switch and rates; see `golden.rs`.

mod hex;

use ferrite_abi::admin::Submission;
use ferrite_abi::cmd::*;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::*;
use hex::{
    bytes,
    golden, //
};

#[test]
fn sf_comes() {
    golden(
        CreateSf {
            sfnum: U32::new(0x0001_0058),
        },
        "58 00 01 00",
    );
    golden(
        CreateSfDone {
            function: U16::new(0x0102),
            rsvd: [0; 2],
        },
        "02 01 00 00",
    );
    // It names the SF in the submission, and has no parameters.
    assert_eq!(
        Submission::new(0x0001, FunctionId(0x0102), DestroySf {}).as_bytes(),
        bytes("01 03 01 00 02 01 00*58")
    );
}

#[test]
fn configuration_of_a_function() {
    golden(
        ConfigureFunction {
            mask: U16::new(0x001f),
            mac: [0x02, 0x00, 0x00, 0x00, 0x88, 0x89],
            caps: U16::new(0x000a),
            max_eqs: U16::new(0x0020),
            vectors: U16::new(0x0101),
            vlan: U16::new(0x0ffe),
        },
        "1f 00
         02 00 00 00 88 89
         0a 00
         20 00
         01 01
         fe 0f",
    );
    golden(
        FunctionConfig {
            mac: [0x02, 0x00, 0x00, 0x00, 0x88, 0x89],
            caps: U16::new(0x000a),
            max_eqs: U16::new(0x0020),
            vectors: U16::new(0x0101),
            vlan: U16::new(0x0ffe),
            state: U16::new(2),
            sfnum: U32::new(0x0403_0201),
        },
        "02 00 00 00 88 89
         0a 00
         20 00
         01 01
         fe 0f
         02 00
         01 02 03 04",
    );
}

#[test]
fn state_of_a_function() {
    golden(
        SetFunctionState {
            state: U16::new(2),
            rsvd: [0; 2],
        },
        "02 00 00 00",
    );
    golden(
        AttachFunction {
            attach: 1,
            rsvd: [0; 3],
        },
        "01 00 00 00",
    );
    golden(
        SetVfPolicy {
            state: U16::new(1),
            rsvd: [0; 2],
        },
        "01 00 00 00",
    );
}

#[test]
fn eswitch() {
    golden(
        SetEswitchMode {
            mode: U16::new(2),
            rsvd: [0; 2],
        },
        "02 00 00 00",
    );
    golden(
        QueryEswitchDone {
            mode: U16::new(1),
            max_rate_nodes: U16::new(0x0140),
            rules: U32::new(0x0000_0102),
            max_rules: U32::new(0x0001_0000),
        },
        "01 00
         40 01
         02 01 00 00
         00 00 01 00",
    );
}

#[test]
fn rule() {
    let zero = RuleAction::default();
    let mut rule = Rule {
        priority: U32::new(0x0102_0304),
        in_port: U16::new(0xffff),
        rsvd: [0; 2],
        actions: [zero; 8],
        key: RuleKey {
            dst_mac: [0x02, 0x11, 0x12, 0x13, 0x14, 0x15],
            src_mac: [0x02, 0x21, 0x22, 0x23, 0x24, 0x25],
            eth_type: U16::new(0x86dd),
            vlan_tci: U16::new(0x2064),
            tagged: 1,
            ip_proto: 6,
            tos: 0xb8,
            ttl: 64,
            fragment: 3,
            rsvd: [0; 3],
            src_ip: [0xfe; 16],
            dst_ip: [0xfd; 16],
            src_port: U16::new(0x1f90),
            dst_port: U16::new(0x0050),
            tcp_flags: U16::new(0x0fff),
            rsvd2: [0; 2],
        },
        mask: RuleKey::default(),
    };
    rule.actions[0] = RuleAction {
        kind: U16::new(2),
        argument: U16::new(0),
    };
    rule.actions[1] = RuleAction {
        kind: U16::new(3),
        argument: U16::new(0x6005),
    };
    rule.actions[2] = RuleAction {
        kind: U16::new(1),
        argument: U16::new(0x8103),
    };
    rule.mask.vlan_tci = U16::new(0x0fff);
    golden(
        rule,
        "04 03 02 01
         ff ff
         00 00
         02 00 00 00
         03 00 05 60
         01 00 03 81
         00*20
         02 11 12 13 14 15
         02 21 22 23 24 25
         dd 86
         64 20
         01
         06
         b8
         40
         03
         00*3
         fe*16
         fd*16
         90 1f
         50 00
         ff 0f
         00 00
         00*14 ff 0f 00*48",
    );
    golden(
        AddRuleDone {
            rule: U32::new(0x0005_0007),
        },
        "07 00 05 00",
    );
    golden(
        RemoveRule {
            rule: U32::new(0x0005_0007),
        },
        "07 00 05 00",
    );
    golden(
        QueryRule {
            rule: U32::new(0x0005_0007),
        },
        "07 00 05 00",
    );
    golden(
        QueryRuleDone {
            packets: U64::new(0x0807_0605_0403_0201),
            bytes: U64::new(0x1817_1615_1413_1211),
            idle_ms: U32::new(0x2423_2221),
        },
        "01 02 03 04 05 06 07 08
         11 12 13 14 15 16 17 18
         21 22 23 24",
    );
}

#[test]
fn rate() {
    golden(
        CreateRateNodeDone {
            node: U16::new(0x0103),
            rsvd: [0; 2],
        },
        "03 01 00 00",
    );
    golden(
        DestroyRateNode {
            node: U16::new(0x0103),
            rsvd: [0; 2],
        },
        "03 01 00 00",
    );
    golden(
        SetRate {
            node: U16::new(0x0104),
            parent: U16::new(0x0103),
        },
        "04 01 03 01",
    );
    let mut rate = Rate {
        tx_max: U64::new(0x0000_0001_0000_0000),
        tx_share: U64::new(125_000),
        priority: U32::new(7),
        weight: U32::new(200),
        tc_bw: [U32::new(0); 8],
    };
    rate.tc_bw[0] = U32::new(20);
    rate.tc_bw[7] = U32::new(80);
    // 125000 is 0x1e848.
    golden(
        rate,
        "00 00 00 00 01 00 00 00
         48 e8 01 00 00 00 00 00
         07 00 00 00
         c8 00 00 00
         14 00 00 00
         00*24
         50 00 00 00",
    );
}

#[test]
fn rate_that_is_asked_for() {
    golden(
        QueryRate {
            node: U16::new(0x0102),
            rsvd: [0; 2],
        },
        "02 01 00 00",
    );
    golden(
        QueryRateDone {
            parent: U16::new(0x0304),
            rsvd: [0; 2],
        },
        "04 03 00 00",
    );
}
