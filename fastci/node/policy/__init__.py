"""Test policies: what a run may touch and what it may try (spec/policy.md, docs/policies.md)."""

from fastci.node.policy.model import Policy, RouteRule, Selection
from fastci.node.policy.reading import DEFAULT, known_policies, load_policy, shipped_policies
from fastci.node.policy.schema import policy_schema

__all__ = [
    "DEFAULT",
    "Policy",
    "RouteRule",
    "Selection",
    "known_policies",
    "load_policy",
    "policy_schema",
    "shipped_policies",
]
