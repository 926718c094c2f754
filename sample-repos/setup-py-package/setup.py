from setuptools import setup

setup(
    name="hourangle",
    version="0.3",
    package_dir={"": "src"},
    packages=["hourangle"],
    python_requires=">=3.6",
    install_requires=["docopt==0.6.2"],
)
