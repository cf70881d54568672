//! The signs in the pictures of trees.

use maud::{Markup, html};

/// The legend of the pictures. The signs of thieves are in it if there are thieves.
pub(super) fn legend(has_thieves: bool) -> Markup {
    html! {
        details.legend open {
            summary { "How to read the tree" }
            ul {
                li { (sign(html! { g.node.leaf { rect x="6" y="4" width="28" height="20" rx="4" {} (number(20)) } }))
                    "A leaf: a member. The number is the epoch since which the leaf has its key pair." }
                li { (sign(html! { g.node.parent { circle cx="20" cy="14" r="11" {} (number(20)) } }))
                    "A parent node. The members below it know its private key." }
                li { (sign(html! {
                        g.node.parent { circle cx="16" cy="13" r="10" {} text.unmerged x="26" y="26" { "−1" } }
                    }))
                    "Unmerged leaves: this number of members below the node do not know its private key." }
                li { (sign(html! { g.node.blank { circle cx="20" cy="14" r="6" {} } })) "A blank node: it has no key." }
                li { (sign(html! {
                        path.edge.direct d="M8 26L20 14" {} g.node.parent.path { circle cx="20" cy="14" r="10" {} }
                    }))
                    "The committer’s path: the commit gave these nodes new keys." }
                li { (sign(html! { g.node.leaf.late { rect x="6" y="4" width="28" height="20" rx="4" {} } }))
                    "A member that did not enter the epoch in the step that made it, for example because it was offline." }
                @if has_thieves {
                    li { (sign(html! {
                            g.node.parent.known { circle cx="16" cy="15" r="10" {} rect.thief x="21" y="1" width="11" height="12" rx="2" {}
                                text.thief x="26" y="11" text-anchor="middle" { "A" } }
                        }))
                        "Thief A can derive the private key from the stolen bytes and the traffic of the whole run." }
                }
            }
            p.script-only {
                "Point at a leaf, tap it, or move the focus to it: the nodes whose private keys the member knows light up."
                @if has_thieves { " The lines about thieves work in the same way." }
                " The keys ← and → show the epoch before and after."
            }
        }
    }
}

fn sign(content: Markup) -> Markup {
    html! { svg.sign viewBox="0 0 40 28" width="40" height="28" aria-hidden="true" { (content) } }
}

fn number(x: u32) -> Markup {
    html! { text.origin x=(x) y="18" text-anchor="middle" { "2" } }
}
