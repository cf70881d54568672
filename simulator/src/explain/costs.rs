//! The meaning of a figure of the costs, and the settings that decide it.

use super::terms::Terms;
use crate::scenario::CostFigure;

/// The table of all costs of a run.
const TABLE: &str =
    "`regrow run FILE --costs FILE.csv` writes the bytes of every commit, proposal and welcome to a table.";

/// The figure in words, with its causes.
pub(super) fn words(terms: &mut Terms, figure: CostFigure) -> Vec<String> {
    let meaning = match figure {
        CostFigure::Commit => format!(
            "A {} has one new public key for each level of the {}, and one ciphertext for each subtree beside it. \
             A new group has no keys above its leaves, so its commits have one ciphertext for each member. \
             They become small after each member has committed once. \
             The ciphersuite decides the size of a key and of a ciphertext.",
            terms.word("commit"),
            terms.word("update path")
        ),
        CostFigure::Proposal => format!(
            "A {} to add a device contains its {}, and one to update contains new keys. \
             The ciphersuite decides the sizes of keys and signatures.",
            terms.word("proposal"),
            terms.word("key package")
        ),
        CostFigure::Welcome | CostFigure::JoinerWelcome => format!(
            "A {} has a short part for each joiner, and a {} for all of them. \
             The group info contains the ratchet tree, so it grows with the number of members. \
             With `send_ratchet_tree` false, the delivery service keeps the tree, and a welcome stays small.",
            terms.word("welcome"),
            terms.word("group info")
        ),
        CostFigure::GroupInfo => format!(
            "A {} contains the ratchet tree, so it grows with the number of members. \
             Devices publish it with each {} only if `publish_group_info` is true.",
            terms.word("group info"),
            terms.word("commit")
        ),
        CostFigure::HandshakesUploaded => format!(
            "The uploads are all proposals, commits, {}s and {}s that the {} has ordered. \
             A commit that came too late does not count.",
            terms.word("welcome"),
            terms.word("group info"),
            terms.word("delivery service")
        ),
        CostFigure::HandshakesDelivered => format!(
            "The {} delivers each commit and proposal to each connected member, also to its sender, and a {} to each \
             joiner. A device that comes back gets all of them that it has missed.",
            terms.word("delivery service"),
            terms.word("welcome")
        ),
        CostFigure::MessagesUploaded => "A message has its text, the padding of the group, a signature and a header. \
             `padding` of the group rounds the size up."
            .to_owned(),
        CostFigure::MessagesDelivered => format!(
            "The {} delivers each message to each connected member, also to its sender.",
            terms.word("delivery service")
        ),
    };
    vec![meaning, TABLE.to_owned()]
}
