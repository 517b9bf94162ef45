//! says: the item is gated behind the `paynet` feature

use tower_outbound_auth::paynet::RejectionLayer;

fn rejections() -> RejectionLayer {
    RejectionLayer
}

fn main() {}
