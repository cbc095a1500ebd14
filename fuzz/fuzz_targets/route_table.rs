//! A route table, even a damaged one from disk, becomes a table or a reason.
#![no_main]

use havre_api::route_table::RouteTable;
use havre_edge::table::Table;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(wire) = serde_json::from_slice::<RouteTable>(bytes) else { return };
    if let Ok(table) = Table::build(&wire, None) {
        Table::build(&wire, Some(&table)).expect("the same again");
    }
});
