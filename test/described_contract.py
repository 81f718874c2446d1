"""A contract with every field, its JSON, and what reading a changed one says: for tests."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_model import tiny_contract

from sg_depth_ros.contract import SelfTest
from sg_depth_ros.contract import contract_from_json
from sg_depth_ros.contract import contract_to_json
from sg_depth_ros.errors import UserError


def full_contract():
    base = tiny_contract(24, 16)
    image = np.arange(24 * 16 * 3, dtype=np.uint32).reshape(16, 24, 3).astype(np.uint8)
    depth_m = np.linspace(1, 80, 24 * 16, dtype=np.float32).reshape(16, 24)
    return replace(base, self_test=SelfTest(image, depth_m), validation={'abs_rel': 0.1})


def document():
    return json.loads(contract_to_json(full_contract()))


def refusal_of(text):
    with pytest.raises(UserError) as refused:
        contract_from_json(text)
    message = str(refused.value)
    assert message.isprintable()
    assert message.isascii()
    assert len(message) < 400
    return message


def refusal(changed):
    return refusal_of(json.dumps(changed))
