"""How much of each account's plan is left, and when it will be gone.

`readings` keeps what was heard, `forecast` says where it leads, `reader` asks for it in the background.
"""

from omniroute.quota.forecast import Forecast, forecast
from omniroute.quota.reader import QuotaReader
from omniroute.quota.readings import QuotaReading, Quotas, WindowReading, spent

__all__ = ["Forecast", "QuotaReader", "QuotaReading", "Quotas", "WindowReading", "forecast", "spent"]
