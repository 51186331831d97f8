@echo off
rem The command `modswarm` from a checkout, on Windows.
rem Makes .venv on first use and refreshes it when setup.cfg or pyproject.toml changed.
setlocal
set "root=%~dp0.."
set "venv=%root%\.venv"
if defined MODSWARM_VENV set "venv=%MODSWARM_VENV%"
set "python=%venv%\Scripts\python.exe"
set "extras="
if /i "%~1"=="simulate" set "extras=[simulations]"

if not exist "%python%" goto prepare
fc /b "%root%\setup.cfg" "%venv%\installed-setup.cfg" >nul 2>&1 || goto prepare
fc /b "%root%\pyproject.toml" "%venv%\installed-pyproject.toml" >nul 2>&1 || goto prepare
if defined extras if not exist "%venv%\installed-simulations" goto prepare
goto run

:prepare
set "base="
if defined MODSWARM_PYTHON set base="%MODSWARM_PYTHON%"
if not defined base py -3 -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>&1 && set "base=py -3"
if not defined base python -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>&1 && set "base=python"
if not defined base (
    echo modswarm needs Python 3.11 or newer, and none was found. Install it, or name one in MODSWARM_PYTHON. 1>&2
    exit /b 1
)
echo Setting up %venv% ^(once, and again when setup.cfg changes^) ... 1>&2
set "clear="
if exist "%venv%\pyvenv.cfg" set "clear=--clear"
"%python%" -m pip --version >nul 2>&1 || %base% -m venv %clear% "%venv%" || exit /b 1
if exist "%venv%\installed-simulations" del "%venv%\installed-simulations"
"%python%" -m pip install --quiet --disable-pip-version-check --editable "%root%%extras%" 1>&2 || exit /b 1
copy /y "%root%\setup.cfg" "%venv%\installed-setup.cfg" >nul || exit /b 1
copy /y "%root%\pyproject.toml" "%venv%\installed-pyproject.toml" >nul || exit /b 1
if defined extras type nul > "%venv%\installed-simulations"

:run
"%python%" -P -m node %*
exit /b %errorlevel%
