package stores

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"google.golang.org/api/googleapi"
)

// passes says whether a store's error is of a kind that passes: it is busy, it broke in two, or the
// line did. Who is refused once, or misses a bucket, is told at once.
func passes(err error) bool {
	switch status, code := answered(err); {
	case status == http.StatusOK: // S3 says 200 before it knows, and tells the fault inside
		return code != ""
	case code == "NoSuchUpload": // its parts are made one already, by a try whose answer was lost
		return true
	case status == http.StatusConflict:
		return code == "ConditionalRequestConflict" || code == "OperationAborted"
	case status != 0:
		return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests ||
			status >= http.StatusInternalServerError && status != http.StatusNotImplemented
	}
	return lineBroke(err)
}

// taken says whether a create met an object.
func taken(err error) bool {
	status, code := answered(err)
	return status == http.StatusPreconditionFailed || status == http.StatusConflict && code == "BlobAlreadyExists"
}

// refuses says whether a store takes nothing: it is full, or we may not.
func refuses(err error) bool {
	status, code := answered(err)
	return status == http.StatusForbidden || status == http.StatusInsufficientStorage || code == "XMinioAdminBucketQuotaExceeded"
}

// answered is the HTTP status and the error code that a store gave, 0 where it gave none.
func answered(err error) (status int, code string) {
	var s3 *awshttp.ResponseError
	var azure *azcore.ResponseError
	var google *googleapi.Error
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch {
	case errors.As(err, &s3):
		return s3.HTTPStatusCode(), code
	case errors.As(err, &azure):
		return azure.StatusCode, azure.ErrorCode
	case errors.As(err, &google):
		return google.Code, ""
	}
	return 0, code
}

// lineBroke tells a line that broke, which may be up again, from a host that is none, a
// certificate that does not fit and a client that could not even ask.
func lineBroke(err error) bool {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var network net.Error
	switch {
	case errors.As(err, &dns):
		return !dns.IsNotFound
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded):
		return true
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true
	}
	return errors.As(err, &network)
}
