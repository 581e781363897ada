from ubiops.utils.package_operations import PackageZip as PackageZip
