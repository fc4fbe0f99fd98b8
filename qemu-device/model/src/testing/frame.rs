// SPDX-License-Identifier: GPL-2.0

//! Frames to send and to receive.

use std::net::{
    Ipv4Addr,
    Ipv6Addr, //
};

/// Destination address of the frames here.
pub const DESTINATION: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// Source address of the frames here.
pub const SOURCE: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x00, 0x99];

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Returns a frame with the given addresses, which is not IP.
pub fn plain(destination: [u8; 6], source: [u8; 6], payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &[0x88, 0xb5], payload].concat()
}

/// Puts other addresses into a frame.
#[must_use]
pub fn addressed(mut frame: Vec<u8>, destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    frame
}

/// Returns TCP over IPv4, checksums right.
pub fn tcp4(payload: &[u8]) -> Vec<u8> {
    ipv4(TCP, &tcp(payload))
}

/// Returns TCP over IPv6, checksum right.
pub fn tcp6(payload: &[u8]) -> Vec<u8> {
    ipv6(TCP, &tcp(payload))
}

/// Returns UDP over IPv4, checksums right.
pub fn udp4(payload: &[u8]) -> Vec<u8> {
    ipv4(UDP, &udp(payload))
}

/// Returns UDP over IPv6, checksum right.
pub fn udp6(payload: &[u8]) -> Vec<u8> {
    ipv6(UDP, &udp(payload))
}

/// Puts the IP packet of a frame into another of IPv4, as a tunnel does.
pub fn in_ipv4(frame: &[u8]) -> Vec<u8> {
    let v6 = frame[12..14] == [0x86, 0xdd];
    ipv4(if v6 { 41 } else { 4 }, &frame[14..])
}

/// Puts the IP packet of a frame into another of IPv6, as a tunnel does.
pub fn in_ipv6(frame: &[u8]) -> Vec<u8> {
    let v6 = frame[12..14] == [0x86, 0xdd];
    ipv6(if v6 { 41 } else { 4 }, &frame[14..])
}

fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(40000u16.to_be_bytes());
    segment.extend(80u16.to_be_bytes());
    segment.extend(0x1000_0000u32.to_be_bytes());
    segment.extend(0x2000_0000u32.to_be_bytes());
    segment.extend([0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(40000u16.to_be_bytes());
    segment.extend(53u16.to_be_bytes());
    segment.extend((8 + payload.len() as u16).to_be_bytes());
    segment.extend([0, 0]);
    segment.extend(payload);
    segment
}

fn ipv4(protocol: u8, segment: &[u8]) -> Vec<u8> {
    let (from, to) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let mut header = vec![0x45, 0];
    header.extend((20 + segment.len() as u16).to_be_bytes());
    header.extend([0, 7, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let addresses = header[12..].to_vec();
    [
        &DESTINATION[..],
        &SOURCE,
        &[0x08, 0x00],
        &header,
        &summed(&addresses, protocol, segment),
    ]
    .concat()
}

fn ipv6(protocol: u8, segment: &[u8]) -> Vec<u8> {
    let (from, to): (Ipv6Addr, Ipv6Addr) = (
        "2001:db8::1".parse().expect("address"),
        "2001:db8::2".parse().expect("address"),
    );
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((segment.len() as u16).to_be_bytes());
    header.extend([protocol, 64]);
    header.extend(from.octets());
    header.extend(to.octets());
    let addresses = header[8..].to_vec();
    [
        &DESTINATION[..],
        &SOURCE,
        &[0x86, 0xdd],
        &header,
        &summed(&addresses, protocol, segment),
    ]
    .concat()
}

/// Returns the segment with its checksum, if it has one.
fn summed(addresses: &[u8], protocol: u8, segment: &[u8]) -> Vec<u8> {
    if ![TCP, UDP].contains(&protocol) {
        return segment.to_vec();
    }
    let mut pseudo = addresses.to_vec();
    pseudo.extend((segment.len() as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, protocol]);
    pseudo.extend(segment);
    let sum = checksum(&pseudo);
    let mut segment = segment.to_vec();
    let at = if protocol == TCP { 16 } else { 6 };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// The Internet checksum, word by word; not the device's, so that both check each other.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) * 256 + u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = sum / 0x1_0000 + sum % 0x1_0000;
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}
