// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.19;

/// A small register as a department's vendor would write it: every field is a string, dates are YYYYMMDD,
/// states are two-digit codes, and one event carries the whole record. Nothing is kept in storage but the
/// registrar, since the events are the record and the gateway reads them alone.
contract Registry {
    /// Kept in storage, not as an immutable: the runtime code is then the same whoever deploys it, and its
    /// hash can be pinned.
    address public registrar;

    event CertificateChanged(
        string certificateId,
        string operation,
        string classCode,
        string className,
        string number,
        string name,
        string holderUscc,
        string issuerUscc,
        string issuedOn,
        string state
    );

    event PropertyRightChanged(
        string unitCode,
        string operation,
        string rightType,
        string certificateNo,
        string holderUscc,
        string issuerUscc,
        string registeredOn,
        string area
    );

    event ClearanceGranted(
        string clearanceNo,
        string taxpayerUscc,
        string issuerUscc,
        string period,
        string result,
        string issuedOn
    );

    modifier onlyRegistrar() {
        require(msg.sender == registrar, "only the registrar may write");
        _;
    }

    constructor() {
        registrar = msg.sender;
    }

    /// One electronic certificate: its identifier, what was done to it, and its state after that.
    function changeCertificate(
        string calldata certificateId,
        string calldata operation,
        string calldata classCode,
        string calldata className,
        string calldata number,
        string calldata name,
        string calldata holderUscc,
        string calldata issuerUscc,
        string calldata issuedOn,
        string calldata state
    ) external onlyRegistrar {
        emit CertificateChanged(
            certificateId, operation, classCode, className, number, name, holderUscc, issuerUscc, issuedOn, state
        );
    }

    /// One right in one property unit.
    function changePropertyRight(
        string calldata unitCode,
        string calldata operation,
        string calldata rightType,
        string calldata certificateNo,
        string calldata holderUscc,
        string calldata issuerUscc,
        string calldata registeredOn,
        string calldata area
    ) external onlyRegistrar {
        emit PropertyRightChanged(
            unitCode, operation, rightType, certificateNo, holderUscc, issuerUscc, registeredOn, area
        );
    }

    /// One tax clearance for one period.
    function grantClearance(
        string calldata clearanceNo,
        string calldata taxpayerUscc,
        string calldata issuerUscc,
        string calldata period,
        string calldata result,
        string calldata issuedOn
    ) external onlyRegistrar {
        emit ClearanceGranted(clearanceNo, taxpayerUscc, issuerUscc, period, result, issuedOn);
    }
}
