#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| outbound_auth_fuzz::assertion_keys::run(data));

#[cfg(not(fuzzing))]
fn main() {
    println!("this is for `cargo fuzz run`; without it: cargo run --release -- --target assertion_keys");
}
