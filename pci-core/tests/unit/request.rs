// SPDX-License-Identifier: GPL-2.0

//! What users may ask for with `devlink port add`.

use ferrite_abi::ids::{
    FunctionId,
    MAX_SFS, //
};
use ferrite_core_logic::request::{
    is_station_address,
    BadRequest,
    Request,
    Wanted,
    FIRST_CHOSEN_INDEX, //
};

const SF: Request = Request {
    wanted: Wanted::Sf { sfnum: Some(88) },
    pfnum: 0,
    controller: None,
    index: None,
};

#[test]
fn plain_requests_are_fine() {
    let vf = Request {
        wanted: Wanted::Vf,
        controller: Some(0),
        ..SF
    };
    let chosen = Request {
        index: Some(FIRST_CHOSEN_INDEX),
        ..SF
    };
    for request in [SF, vf, chosen] {
        assert_eq!(request.check(true), Ok(()));
    }
    let id = FunctionId(0x107);
    assert_eq!(SF.indices_for(id).next(), Some(0x107));
    assert!(chosen.indices_for(id).eq([FIRST_CHOSEN_INDEX]));
}

#[test]
fn indices_of_the_driver_are_all_its_own() {
    let of = |id| SF.indices_for(FunctionId(id)).collect::<Vec<_>>();
    let (first, last) = (of(1), of(FunctionId::FIRST_SF + MAX_SFS - 1));
    assert!(first.len() > 8);
    for index in first.iter().chain(&last) {
        assert!(*index < FIRST_CHOSEN_INDEX);
    }
    assert!(first.iter().all(|index| !last.contains(index)));
}

#[test]
fn each_wrong_part_is_named() {
    let other = Request {
        wanted: Wanted::Other,
        ..SF
    };
    let pf = Request { pfnum: 1, ..SF };
    let controller = Request {
        controller: Some(1),
        ..SF
    };
    let index = Request {
        index: Some(FIRST_CHOSEN_INDEX - 1),
        ..SF
    };
    let table = [
        (other, BadRequest::Flavour),
        (pf, BadRequest::Pf),
        (controller, BadRequest::Controller),
        (index, BadRequest::Index),
    ];
    for (request, expected) in table {
        assert_eq!(request.check(true), Err(expected));
    }
    assert_eq!(SF.check(false), Err(BadRequest::Legacy));
}

#[test]
fn texts_fit_an_extended_acknowledgement() {
    for bad in [
        BadRequest::Flavour,
        BadRequest::Pf,
        BadRequest::Controller,
        BadRequest::Index,
        BadRequest::Legacy,
    ] {
        // NETLINK_MAX_FMTMSG_LEN, with the zero at the end.
        assert!(bad.to_string().len() < 80, "{bad}");
    }
}

#[test]
fn only_addresses_of_stations_are_taken() {
    assert!(is_station_address([0x02, 0, 0, 0, 0x88, 0x88]));
    for address in [[0; 6], [1, 0, 0, 0, 0, 1], [0xff; 6]] {
        assert!(!is_station_address(address));
    }
}
