from ubiops.utils.validate import PackageInfo as PackageInfo
