"""Combos for people: what is in them, how they are doing, and whether each of their targets answers."""

from omniroute.combos.views import ComboMetrics, ComboTarget, ComboTest, ComboView, Measures, TargetMetrics, TargetTest

__all__ = ["ComboMetrics", "ComboTarget", "ComboTest", "ComboView", "Measures", "TargetMetrics", "TargetTest"]
