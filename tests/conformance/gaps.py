"""Rules that the checker says the standards lack, and what goes wrong without them.

A rule that the standard has under the same name is no gap any more, so adding it there closes the gap here.
"""

from rowline.arch.device import DramDevice
from rowline.arch.spec import Term, TimingRule
from rowline.arch.standards.gddr6 import BANK, CHANNEL, rule

_IO, _RECOVERY = Term.BUFFER_IO, Term.WRITE_RECOVERY

PROPOSED = {
    "gddr6-pim": (
        # bursts of one direction but of different latency meet on the external bus
        rule("tBUS-RD-REG", CHANNEL, "rd", "reg_rd", "nCL + nBL - nCLREG", _IO),
        rule("tBUS-REG-RD", CHANNEL, "reg_rd", "rd", "nCLREG + nBL - nCL", _IO),
        rule("tBUS-WR-GB", CHANNEL, "wr WRA16", "WRGB", "nCWL + nBL - nCWLGB", _IO),
        rule("tBUS-GB-WR", CHANNEL, "WRGB", "wr WRA16", "nCWLGB + nBL - nCWL", _IO),
        rule("tBUS-WR-REG", CHANNEL, "wr WRA16", "WRMAC16", "nCWL + nBL - nCWLREG", _IO),
        rule("tBUS-REG-WR", CHANNEL, "WRMAC16", "wr WRA16", "nCWLREG + nBL - nCWL", _IO),
        rule("tBUS-GB-REG", CHANNEL, "WRGB", "WRMAC16", "nCWLGB + nBL - nCWLREG", _IO),
        rule("tBUS-REG-GB", CHANNEL, "WRMAC16", "WRGB", "nCWLREG + nBL - nCWLGB", _IO),
        # like tWR-RDA: the implicit precharge cuts the recovery of an earlier array write short
        rule("tWR-RDA-WRCP", BANK, "WRCP", "RDA", "nCWL + nBL + nWR - nRTP", _RECOVERY),
        rule("tWR-RDA-EWMUL", BANK, "EWMUL16", "RDA", "nCWL + nWR - nRTP", _RECOVERY),
    )
}


def missing_rules(device: DramDevice) -> tuple[TimingRule, ...]:
    """The proposed rules that the device's standard does not have yet."""
    present = {each.name for each in device.dram_standard.rules}
    return tuple(each for each in PROPOSED.get(device.standard, ()) if each.name not in present)
