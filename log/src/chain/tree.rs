//! The tree over the leaves (PURE), as RFC 9162 §2.1 defines it: leaves and nodes are hashed under
//! different first bytes, so that neither can be taken for the other.
//!
//! Only the root is needed today. Inclusion and consistency proofs grow out of the same shape.

use sha2::{Digest, Sha256};

const LEAF: [u8; 1] = [0x00];
const NODE: [u8; 1] = [0x01];

/// One hash of the tree.
pub type Digest32 = [u8; 32];

/// The hash of a leaf: SHA-256(0x00 ‖ bytes).
pub fn leaf(bytes: &[u8]) -> Digest32 {
    Sha256::new().chain_update(LEAF).chain_update(bytes).finalize().into()
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node(left: &Digest32, right: &Digest32) -> Digest32 {
    Sha256::new().chain_update(NODE).chain_update(left).chain_update(right).finalize().into()
}

/// Leaf hashes, in order, as far as the root needs them.
///
/// Complete subtrees are merged as soon as two of equal size lie side by side, as in a binary
/// counter; what is left at the end is joined from the right. That is the RFC's split at the
/// largest power of two, without recursion.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Tree {
    subtrees: Vec<Digest32>,
    leaves: u64,
}

impl Tree {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Digest32) {
        self.subtrees.push(leaf);
        self.leaves += 1;
        for _ in 0..self.leaves.trailing_zeros() {
            merge(&mut self.subtrees);
        }
    }

    /// The root over all leaves. That of nothing is SHA-256 of nothing.
    pub fn root(&self) -> Digest32 {
        let joined = self.subtrees.iter().rev().copied().reduce(|right, left| node(&left, &right));
        joined.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

impl FromIterator<Digest32> for Tree {
    fn from_iter<I: IntoIterator<Item = Digest32>>(leaves: I) -> Tree {
        let mut tree = Tree::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }
}

fn merge(subtrees: &mut Vec<Digest32>) {
    if let (Some(right), Some(left)) = (subtrees.pop(), subtrees.pop()) {
        subtrees.push(node(&left, &right));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word: MTH(D[n]) = H(0x01 ‖ MTH(D[0:k]) ‖ MTH(D[k:n])), where k is
    /// the largest power of two below n.
    fn by_definition(leaves: &[Digest32]) -> Digest32 {
        match leaves.len() {
            0 => Sha256::digest([]).into(),
            1 => leaves[0],
            n => {
                let k = 1 << (usize::BITS - 1 - (n - 1).leading_zeros());
                node(&by_definition(&leaves[..k]), &by_definition(&leaves[k..]))
            }
        }
    }

    fn root(leaves: Vec<Digest32>) -> Digest32 {
        leaves.into_iter().collect::<Tree>().root()
    }

    fn hex(digest: Digest32) -> String {
        digest.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn known_hashes() {
        assert_eq!(
            hex(root(vec![])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex(leaf(b"")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        // Certificate Transparency's reference leaves: "", 0x00, 0x10, 0x20 0x21.
        let leaves: Vec<_> =
            [&b""[..], b"\x00", b"\x10", b"\x20\x21"].iter().map(|d| leaf(d)).collect();
        assert_eq!(
            hex(root(leaves[..2].to_vec())),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
        assert_eq!(
            hex(root(leaves[..3].to_vec())),
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
        );
        assert_eq!(
            hex(root(leaves)),
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
        );
    }

    proptest! {
        #[test]
        fn the_counter_builds_the_defined_tree(count in 0usize..300) {
            let leaves: Vec<_> = (0..count).map(|i| leaf(&i.to_be_bytes())).collect();
            prop_assert_eq!(root(leaves.clone()), by_definition(&leaves));
        }
    }
}
